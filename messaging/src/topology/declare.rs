//! Makes the broker hold a plan. Only the operator and `local` do this; workers look ([`super::check`]).

use super::{QueuePlan, TopologyPlan, check::has_code};
use lapin::{
    Channel, Connection, ExchangeKind,
    options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    protocol::{AMQPErrorKind, AMQPSoftError},
    types::FieldTable,
};

/// Why a plan could not be declared.
#[derive(Debug, thiserror::Error)]
pub enum DeclareError {
    /// The exchange or queue exists with other properties, which RabbitMQ cannot change in place.
    #[error(
        "{object} exists with other arguments than the pipeline asks for ({broker}): RabbitMQ cannot change \
         them in place; set the pipeline's topology to what exists, or, once it is empty, delete it with \
         `rabbitmqctl delete_queue` and it is declared anew"
    )]
    Inequivalent {
        /// `queue p.requests` or `exchange p`.
        object: String,
        /// The broker's own words: they name the argument and both values.
        broker: String,
    },
    /// The user may not declare it.
    #[error("RabbitMQ refused to let the user declare {object} ({broker}): grant configure, write and read on it")]
    Forbidden {
        /// `queue p.requests` or `exchange p`.
        object: String,
        /// The broker's own words.
        broker: String,
    },
    /// Anything else, mostly a lost connection.
    #[error("cannot declare {object}")]
    Link {
        /// `queue p.requests` or `exchange p`.
        object: String,
        /// What the connection said.
        source: lapin::Error,
    },
}

/// Declares exchange, queues and bindings, in the plan's order. What exists already, as planned, is left as
/// it is; nothing is ever deleted.
///
/// # Errors
/// See [`DeclareError`]; what was declared before the error stays.
pub async fn declare(connection: &Connection, plan: &TopologyPlan) -> Result<(), DeclareError> {
    declare_exchange(connection, &plan.exchange).await?;
    for queue in &plan.queues {
        declare_queue(connection, &plan.exchange, queue).await?;
    }
    Ok(())
}

async fn declare_exchange(connection: &Connection, exchange: &str) -> Result<(), DeclareError> {
    let object = format!("exchange {exchange}");
    let channel = open(connection, &object).await?;
    let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    let answer = channel.exchange_declare(exchange.into(), ExchangeKind::Direct, options, FieldTable::default()).await;
    answer.map_err(|error| classify(object, error))?;
    let _ = channel.close(200, "declared".into()).await;
    Ok(())
}

async fn declare_queue(connection: &Connection, exchange: &str, queue: &QueuePlan) -> Result<(), DeclareError> {
    let object = format!("queue {}", queue.name);
    let channel = open(connection, &object).await?;
    let declared =
        channel.queue_declare(queue.name.as_str().into(), QueueDeclareOptions::durable(), queue.field_table());
    declared.await.map_err(|error| classify(object.clone(), error))?;
    for key in &queue.keys {
        let bound = channel.queue_bind(
            queue.name.as_str().into(),
            exchange.into(),
            key.as_str().into(),
            QueueBindOptions::default(),
            FieldTable::default(),
        );
        bound.await.map_err(|error| classify(format!("binding {key} of {object}"), error))?;
    }
    let _ = channel.close(200, "declared".into()).await;
    Ok(())
}

/// A channel per object: a refusal closes the channel, and the next object deserves an answer of its own.
async fn open(connection: &Connection, object: &str) -> Result<Channel, DeclareError> {
    connection.create_channel().await.map_err(|error| DeclareError::Link { object: object.to_owned(), source: error })
}

fn classify(object: String, error: lapin::Error) -> DeclareError {
    let broker = match error.kind() {
        lapin::ErrorKind::ProtocolError(amqp) => amqp.get_message().to_string(),
        _ => error.to_string(),
    };
    if has_code(&error, &AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED)) {
        return DeclareError::Inequivalent { object, broker };
    }
    if has_code(&error, &AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED)) {
        return DeclareError::Forbidden { object, broker };
    }
    DeclareError::Link { object, source: error }
}

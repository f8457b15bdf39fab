//! Looks whether a topology is there, changing nothing. Workers do this at each connect.

use super::TopologyPlan;
use lapin::{
    Connection,
    options::{ExchangeDeclareOptions, QueueDeclareOptions},
    protocol::{AMQPErrorKind, AMQPSoftError},
    types::FieldTable,
};

/// What a plan names and the broker does not have: `exchange p`, `queue p.requests`, …
///
/// Only existence is checked. A passive declare cannot compare arguments, and nothing on AMQP lists bindings;
/// a missing binding shows itself at the first mandatory publish.
///
/// # Errors
/// The connection failed, or the broker refused to answer.
pub async fn missing(connection: &Connection, plan: &TopologyPlan) -> lapin::Result<Vec<String>> {
    let mut missing = Vec::new();
    if !exchange_exists(connection, &plan.exchange).await? {
        missing.push(format!("exchange {}", plan.exchange));
    }
    for queue in &plan.queues {
        if depth(connection, &queue.name).await?.is_none() {
            missing.push(format!("queue {}", queue.name));
        }
    }
    Ok(missing)
}

/// How many messages are ready in `queue` (unacknowledged ones are not counted), or `None` when it does not
/// exist.
///
/// # Errors
/// The connection failed, or the broker refused to answer.
pub async fn depth(connection: &Connection, queue: &str) -> lapin::Result<Option<u32>> {
    // A channel of its own: the 404 of a missing queue closes it.
    let channel = connection.create_channel().await?;
    let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let answer = channel.queue_declare(queue.into(), options, FieldTable::default()).await;
    let found = found(answer.map(|queue| queue.message_count()))?;
    if found.is_some() {
        let _ = channel.close(200, "checked".into()).await;
    }
    Ok(found)
}

async fn exchange_exists(connection: &Connection, exchange: &str) -> lapin::Result<bool> {
    let channel = connection.create_channel().await?;
    let options = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
    let kind = lapin::ExchangeKind::Direct;
    let answer = channel.exchange_declare(exchange.into(), kind, options, FieldTable::default()).await;
    let found = found(answer)?;
    if found.is_some() {
        let _ = channel.close(200, "checked".into()).await;
    }
    Ok(found.is_some())
}

/// "Not found" is an answer, everything else that went wrong is an error.
fn found<T>(answer: lapin::Result<T>) -> lapin::Result<Option<T>> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(error) if is_not_found(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) fn is_not_found(error: &lapin::Error) -> bool {
    has_code(error, &AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND))
}

pub(super) fn has_code(error: &lapin::Error, code: &AMQPErrorKind) -> bool {
    matches!(error.kind(), lapin::ErrorKind::ProtocolError(amqp) if amqp.kind() == code)
}

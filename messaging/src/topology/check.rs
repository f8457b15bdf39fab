//! Looks whether a topology is there and how full it is, changing nothing. Workers do this at each connect.

use super::{Object, TopologyPlan};
use crate::link::{open_channel, pipelined};
use lapin::{
    Channel, Connection, ExchangeKind,
    options::{ExchangeDeclareOptions, QueueDeclareOptions},
    protocol::{AMQPErrorKind, AMQPSoftError},
    types::FieldTable,
};

/// What a passive declare tells of a queue.
///
/// Neither figure knows of dead letters that a quorum queue still offers to a full or missing destination. On a
/// quorum queue `consumers` also counts whoever holds unacknowledged messages, so that both figures zero means
/// that nothing is worked on; on a classic queue a cancelled consumer and a `basic.get` may hold messages unseen.
/// Tried on RabbitMQ 3.10, 4.0 and 4.3.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages that wait for a consumer; unacknowledged ones are not counted.
    pub ready: u32,
    /// Consumers.
    pub consumers: u32,
}

impl Counts {
    /// Whether nothing waits and nobody consumes.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        *self == Self::default()
    }
}

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
        missing.push(Object::Exchange(plan.exchange.clone()).to_string());
    }
    let absent = survey(connection, plan).await?.into_iter().filter(|(_, counts)| counts.is_none());
    missing.extend(absent.map(|(queue, _)| Object::Queue(queue).to_string()));
    Ok(missing)
}

/// The counts of every queue in the plan, in its order; `None` for a queue that does not exist. All in one round
/// trip as long as none is missing.
///
/// # Errors
/// The connection failed, or the broker refused to answer.
pub async fn survey(connection: &Connection, plan: &TopologyPlan) -> lapin::Result<Vec<(String, Option<Counts>)>> {
    let names = plan.queues.iter().map(|queue| queue.name.clone());
    if let Some(counts) = all_counts(connection, plan).await? {
        return Ok(names.zip(counts.into_iter().map(Some)).collect());
    }
    let mut found = Vec::with_capacity(plan.queues.len());
    for name in names {
        let counts = counts(connection, &name).await?;
        found.push((name, counts));
    }
    Ok(found)
}

/// The counts of `queue`, or `None` when it does not exist.
///
/// # Errors
/// The connection failed, or the broker refused to answer.
pub async fn counts(connection: &Connection, queue: &str) -> lapin::Result<Option<Counts>> {
    // A channel of its own: the 404 of a missing queue closes it.
    let channel = open_channel(connection).await?;
    let answer = look_at(&channel, queue).await;
    close_if_found(&channel, answer).await
}

/// All asked at once on one channel, whose first 404 ends it: `None` when any queue is missing.
async fn all_counts(connection: &Connection, plan: &TopologyPlan) -> lapin::Result<Option<Vec<Counts>>> {
    let channel = open_channel(connection).await?;
    let answers = pipelined(plan.queues.iter().map(|queue| look_at(&channel, &queue.name)).collect()).await;
    close_if_found(&channel, answers).await
}

pub(super) async fn look_at(channel: &Channel, queue: &str) -> lapin::Result<Counts> {
    let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let queue = channel.queue_declare(queue.into(), options, FieldTable::default()).await?;
    Ok(Counts { ready: queue.message_count(), consumers: queue.consumer_count() })
}

async fn exchange_exists(connection: &Connection, exchange: &str) -> lapin::Result<bool> {
    let channel = open_channel(connection).await?;
    let answer = look_for_exchange(&channel, exchange).await;
    Ok(close_if_found(&channel, answer).await?.is_some())
}

pub(super) async fn look_for_exchange(channel: &Channel, exchange: &str) -> lapin::Result<()> {
    let options = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
    channel.exchange_declare(exchange.into(), ExchangeKind::Direct, options, FieldTable::default()).await
}

/// "Not found" is an answer, everything else that went wrong is an error. Either has closed the channel.
async fn close_if_found<T>(channel: &Channel, answer: lapin::Result<T>) -> lapin::Result<Option<T>> {
    match answer {
        Ok(value) => {
            let _ = channel.close(200, "checked".into()).await;
            Ok(Some(value))
        }
        Err(error) if is_not_found(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether the object does not exist. RabbitMQ answers with the same code, and other words, for a classic queue whose node
/// is down, one that has crashed, and one that did not answer in time: such a queue is there, with all that is in it.
pub(super) fn is_not_found(error: &lapin::Error) -> bool {
    let lapin::ErrorKind::ProtocolError(amqp) = error.kind() else { return false };
    *amqp.kind() == AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND)
        && amqp.get_message().as_str().starts_with("NOT_FOUND - no ")
}

/// Whether the broker refused this one object (it is not there, or not for this user, or another's), and not the
/// connection.
pub(super) fn is_of_one_object(error: &lapin::Error) -> bool {
    matches!(error.kind(), lapin::ErrorKind::ProtocolError(amqp) if matches!(amqp.kind(), AMQPErrorKind::Soft(_)))
}

pub(super) fn has_code(error: &lapin::Error, code: &AMQPErrorKind) -> bool {
    matches!(error.kind(), lapin::ErrorKind::ProtocolError(amqp) if amqp.kind() == code)
}

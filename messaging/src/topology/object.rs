//! One object at a time: the exchange, a queue, its bindings. A channel for each, since a refusal closes the channel
//! and the next object deserves an answer of its own.

use super::{
    DeclareError, QueuePlan, Shadow,
    check::{self, Counts, is_not_found},
};
use crate::link::{open_channel, pipelined};
use futures::FutureExt as _;
use lapin::{
    Channel, Connection, ExchangeKind,
    options::{
        ExchangeDeclareOptions, ExchangeDeleteOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions,
    },
    types::FieldTable,
};
use std::fmt;

/// What the broker may hold of a pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    /// An exchange, by name.
    Exchange(String),
    /// A queue, by name.
    Queue(String),
    /// What leads from the pipeline's exchange to one of its queues.
    Binding {
        /// The routing key.
        key: String,
        /// The queue.
        queue: String,
    },
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exchange(name) => write!(f, "exchange {name}"),
            Self::Queue(name) => write!(f, "queue {name}"),
            Self::Binding { key, queue } => write!(f, "binding {key} of queue {queue}"),
        }
    }
}

impl QueuePlan {
    fn object(&self) -> Object {
        Object::Queue(self.name.clone())
    }

    fn binding(&self, key: &str) -> Object {
        binding(key, &self.name)
    }
}

fn binding(key: &str, queue: &str) -> Object {
    Object::Binding { key: key.to_owned(), queue: queue.to_owned() }
}

/// The exchange; itself, if it was not there.
pub(super) async fn declare_exchange(connection: &Connection, exchange: &str) -> Result<Option<Object>, DeclareError> {
    let object = Object::Exchange(exchange.to_owned());
    let channel = open(connection, &object).await?;
    match confirm_exchange_on(&channel, exchange).await {
        Err(error) if is_not_found(&error) => {
            let channel = open(connection, &object).await?;
            let answer = exchange_on(&channel, exchange).await;
            close(&channel, object.clone(), answer).await?;
            Ok(Some(object))
        }
        answer => close(&channel, object, answer).await.map(|()| None),
    }
}

/// The queue, and its bindings; itself, if it was not there.
pub(super) async fn declare_queue(
    connection: &Connection,
    exchange: &str,
    queue: &QueuePlan,
) -> Result<Option<Object>, DeclareError> {
    let mut channel = open(connection, &queue.object()).await?;
    let mut answer = confirm_queue_on(&channel, queue).await;
    let is_missing = answer.as_ref().is_err_and(is_not_found);
    if is_missing {
        channel = open(connection, &queue.object()).await?;
        answer = queue_on(&channel, queue).await;
    }
    answer.map_err(|error| DeclareError::of_queue(queue, queue.object(), error))?;
    let _ = channel.close(200, "done".into()).await;
    bind(connection, exchange, queue).await?;
    Ok(is_missing.then(|| queue.object()))
}

pub(super) async fn bind(connection: &Connection, exchange: &str, queue: &QueuePlan) -> Result<(), DeclareError> {
    for key in &queue.keys {
        let channel = open(connection, &queue.binding(key)).await?;
        let answer = bind_on(&channel, exchange, &queue.name, key).await;
        close(&channel, queue.binding(key), answer).await?;
    }
    unbind_keys(connection, exchange, &queue.name, &queue.stale_keys).await?;
    match &queue.shadow {
        Some(shadow) if shadow.wanted => bind_shadow(connection, exchange, queue, shadow).await,
        _ => unbind_shadow(connection, exchange, queue).await,
    }
}

/// A shadow that is not there yet is bound when it is declared.
async fn bind_shadow(
    connection: &Connection,
    exchange: &str,
    queue: &QueuePlan,
    shadow: &Shadow,
) -> Result<(), DeclareError> {
    for key in &queue.keys {
        let object = binding(key, &shadow.queue);
        let channel = open(connection, &object).await?;
        let answer = bind_on(&channel, exchange, &shadow.queue, key).await;
        close(&channel, object, fine_if_missing(answer)).await?;
    }
    Ok(())
}

/// What is not bound, or not there at all, stays so. The shadow goes first: what the keys lead to must never be it alone.
pub(super) async fn unbind(connection: &Connection, exchange: &str, queue: &QueuePlan) -> Result<(), DeclareError> {
    unbind_shadow(connection, exchange, queue).await?;
    unbind_keys(connection, exchange, &queue.name, &queue.keys).await
}

async fn unbind_shadow(connection: &Connection, exchange: &str, queue: &QueuePlan) -> Result<(), DeclareError> {
    let Some(shadow) = &queue.shadow else { return Ok(()) };
    unbind_keys(connection, exchange, &shadow.queue, &queue.keys).await
}

async fn unbind_keys(
    connection: &Connection,
    exchange: &str,
    queue: &str,
    keys: &[String],
) -> Result<(), DeclareError> {
    for key in keys {
        let channel = open(connection, &binding(key, queue)).await?;
        let answer = unbind_on(&channel, exchange, queue, key).await;
        close(&channel, binding(key, queue), fine_if_missing(answer)).await?;
    }
    Ok(())
}

/// Deletes the queue with all that is in it, and returns how many ready messages that were. Without `if-empty` and
/// `if-unused`: with either, a quorum queue closes the whole connection.
pub(super) async fn delete_queue(connection: &Connection, queue: &QueuePlan) -> Result<u32, DeclareError> {
    let channel = open(connection, &queue.object()).await?;
    let answer = channel.queue_delete(queue.name.as_str().into(), QueueDeleteOptions::default()).await;
    close(&channel, queue.object(), fine_if_missing(answer)).await
}

/// Deletes the exchange unless queues or exchanges are bound to it; then it answers
/// [`DeclareError::Inequivalent`].
pub(super) async fn delete_unused_exchange(connection: &Connection, exchange: &str) -> Result<(), DeclareError> {
    let object = Object::Exchange(exchange.to_owned());
    let channel = open(connection, &object).await?;
    let options = ExchangeDeleteOptions { if_unused: true, ..ExchangeDeleteOptions::default() };
    let answer = channel.exchange_delete(exchange.into(), options).await;
    close(&channel, object, fine_if_missing(answer)).await
}

pub(super) async fn counts(connection: &Connection, queue: &QueuePlan) -> Result<Option<Counts>, DeclareError> {
    let answer = check::counts(connection, &queue.name).await;
    answer.map_err(|error| DeclareError::of(queue.object(), error))
}

/// Declares what exists already: other arguments are refused. A declare makes what is missing without a word; so it is
/// looked for in the same breath, which ends the channel if it is not there.
pub(super) async fn confirm_queue_on(channel: &Channel, queue: &QueuePlan) -> lapin::Result<()> {
    let look = async { check::look_at(channel, &queue.name).await.map(drop) };
    pipelined(vec![look.boxed(), queue_on(channel, queue).boxed()]).await.map(drop)
}

/// The same for the exchange.
pub(super) async fn confirm_exchange_on(channel: &Channel, exchange: &str) -> lapin::Result<()> {
    pipelined(vec![check::look_for_exchange(channel, exchange).boxed(), exchange_on(channel, exchange).boxed()])
        .await
        .map(drop)
}

async fn exchange_on(channel: &Channel, exchange: &str) -> lapin::Result<()> {
    let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    channel.exchange_declare(exchange.into(), ExchangeKind::Direct, options, FieldTable::default()).await
}

async fn queue_on(channel: &Channel, queue: &QueuePlan) -> lapin::Result<()> {
    let name = queue.name.as_str().into();
    channel.queue_declare(name, QueueDeclareOptions::durable(), queue.field_table()).await.map(drop)
}

pub(super) async fn bind_on(channel: &Channel, exchange: &str, queue: &str, key: &str) -> lapin::Result<()> {
    let options = QueueBindOptions::default();
    channel.queue_bind(queue.into(), exchange.into(), key.into(), options, FieldTable::default()).await
}

pub(super) async fn unbind_on(channel: &Channel, exchange: &str, queue: &str, key: &str) -> lapin::Result<()> {
    channel.queue_unbind(queue.into(), exchange.into(), key.into(), FieldTable::default()).await
}

async fn open(connection: &Connection, object: &Object) -> Result<Channel, DeclareError> {
    open_channel(connection).await.map_err(|error| DeclareError::of(object.clone(), error))
}

/// A refusal has closed the channel already.
async fn close<T>(channel: &Channel, object: Object, answer: lapin::Result<T>) -> Result<T, DeclareError> {
    let value = answer.map_err(|error| DeclareError::of(object, error))?;
    let _ = channel.close(200, "done".into()).await;
    Ok(value)
}

fn fine_if_missing<T: Default>(answer: lapin::Result<T>) -> lapin::Result<T> {
    answer.or_else(|error| if is_not_found(&error) { Ok(T::default()) } else { Err(error) })
}

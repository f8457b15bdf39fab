//! One channel in confirm mode, and what is in flight on it.
//!
//! The broker tells of an unroutable message in two steps: it returns the message, then it acks it. lapin ties the
//! two loosely: a return goes to whichever confirm is resolved *next*, which may be another message's. Taken at
//! face value that would confirm a message that went nowhere. What does hold is the order: whoever gets the return
//! of X is resolved before X is. So one task owns all confirms and takes them in the order in which they were
//! resolved ([`FuturesUnordered`] hands them out in the order of their wake-ups); then a stray return is known
//! before the message that it belongs to comes up.

use super::{IN_FLIGHT, Job, PublishError};
use crate::message::Outgoing;
use futures::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use lapin::{
    Channel, Confirmation, Connection,
    message::BasicReturnMessage,
    options::{BasicPublishOptions, ConfirmSelectOptions},
};
use std::{collections::HashSet, sync::Arc};
use tokio::sync::oneshot;

/// What tells one message from another: id and routing key.
type Identity = (Option<String>, String);

/// Who waits, for which message, and what came of it.
type Resolved = (Waiting, lapin::Result<Confirmation>);

struct Waiting {
    identity: Identity,
    answer: oneshot::Sender<Result<(), PublishError>>,
}

/// A channel and its messages in flight.
pub(super) struct Lane {
    exchange: Arc<str>,
    channel: Channel,
    in_flight: FuturesUnordered<BoxFuture<'static, Resolved>>,
    /// Returned messages whose own confirm has not come up yet.
    strays: HashSet<Identity>,
}

impl Lane {
    pub(super) async fn open(connection: &Connection, exchange: Arc<str>) -> lapin::Result<Self> {
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(Self { exchange, channel, in_flight: FuturesUnordered::new(), strays: HashSet::new() })
    }

    /// A missing exchange closes the channel and leaves the connection alone, so that no event tells of it.
    pub(super) fn is_alive(&self) -> bool {
        self.channel.status().connected()
    }

    pub(super) fn has_room(&self) -> bool {
        self.in_flight.len() < IN_FLIGHT
    }

    /// Sends a message; its answer comes through [`Lane::settle`].
    pub(super) fn send(&mut self, job: Job) {
        let Job { message, answer } = job;
        if answer.is_closed() {
            // Whoever wanted it has given up; sent now it would be a surprise.
            return;
        }
        let waiting = Waiting { identity: identity(&message), answer };
        let (channel, exchange) = (self.channel.clone(), self.exchange.clone());
        self.in_flight.push(Box::pin(async move {
            let outcome = publish(&channel, &exchange, &message).await;
            (waiting, outcome)
        }));
    }

    /// Answers the next message whose confirm is there; never ends while nothing is in flight.
    pub(super) async fn settle(&mut self) {
        let Some((waiting, outcome)) = self.in_flight.next().await else { return std::future::pending().await };
        let key = waiting.identity.1.clone();
        let result = match outcome {
            Err(_) => Err(PublishError::InDoubt { key }),
            Ok(Confirmation::Nack(returned)) => {
                self.note(returned, &waiting.identity);
                self.strays.remove(&waiting.identity);
                Err(PublishError::Full { key })
            }
            Ok(Confirmation::Ack(returned)) => self.acked(returned, &waiting.identity, key),
            Ok(Confirmation::NotRequested) => Ok(()),
        };
        // Who no longer waits for the answer does not need it.
        let _ = waiting.answer.send(result);
    }

    fn acked(&mut self, returned: Option<BasicReturnMessage>, own: &Identity, key: String) -> Result<(), PublishError> {
        let anothers = returned.is_some();
        if self.note(returned, own) || self.strays.remove(own) {
            return Err(PublishError::Unroutable { key });
        }
        // This one's own return, if there is one, may still stand behind the other's.
        if anothers { Err(PublishError::InDoubt { key }) } else { Ok(()) }
    }

    /// Whether what came back is the message itself; another one is remembered.
    fn note(&mut self, returned: Option<BasicReturnMessage>, own: &Identity) -> bool {
        let Some(returned) = returned else { return false };
        let delivery = &returned.delivery;
        let id = delivery.properties.message_id().as_ref().map(ToString::to_string);
        let identity = (id, delivery.routing_key.to_string());
        let is_own = identity == *own;
        if !is_own {
            self.strays.insert(identity);
        }
        is_own
    }
}

async fn publish(channel: &Channel, exchange: &str, message: &Outgoing) -> lapin::Result<Confirmation> {
    let options = BasicPublishOptions { mandatory: message.mandatory, ..BasicPublishOptions::default() };
    let key = message.routing_key.as_str().into();
    let sent = channel.basic_publish(exchange.into(), key, options, &message.body, message.properties.clone());
    sent.await?.await
}

fn identity(message: &Outgoing) -> Identity {
    (message.properties.message_id().as_ref().map(ToString::to_string), message.routing_key.clone())
}

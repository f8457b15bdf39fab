//! One channel in confirm mode, and what is in flight on it.
//!
//! The broker tells of an unroutable message in two steps: it returns the message, then it acks it. lapin ties the
//! two loosely: a return goes to whichever confirm is resolved *next*, which may be another message's. Taken at
//! face value that would confirm a message that went nowhere. What does hold is the order: whoever gets the return
//! of X is resolved before X is. So one task owns all confirms, and when one is resolved it takes all others that are,
//! and looks through them for returns, before it answers any. The order in which they come up would not do: one that
//! was woken for another reason, such as that its last byte was sent, comes up early.

use super::{IN_FLIGHT, Job, PublishError, renewal::confirming};
use crate::message::Outgoing;
use futures::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use lapin::{Channel, Confirmation, Connection, options::BasicPublishOptions};
use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

/// Another channel is tried once everything was refused for this long.
const REFUSED: Duration = Duration::from_secs(1);

/// What tells one message from another: id and routing key.
type Identity = (Option<String>, String);

/// Who waits, for which message, and what came of it.
type Resolved = (Waiting, lapin::Result<Confirmation>);

type InFlight = FuturesUnordered<BoxFuture<'static, Resolved>>;

struct Waiting {
    identity: Identity,
    answer: oneshot::Sender<Result<(), PublishError>>,
}

/// A channel and its messages in flight.
pub(super) struct Lane {
    exchange: Arc<str>,
    channel: Channel,
    in_flight: InFlight,
    /// Returned messages whose own confirm has not come up yet.
    strays: HashSet<Identity>,
    /// When a confirm came last, or none was waited for.
    heard: Instant,
    /// Keys whose every message was refused, and since when.
    refused: HashMap<String, Instant>,
}

impl Lane {
    pub(super) async fn open(connection: &Connection, exchange: Arc<str>) -> lapin::Result<Self> {
        Ok(Self {
            exchange,
            channel: confirming(connection).await?,
            in_flight: FuturesUnordered::new(),
            strays: HashSet::new(),
            heard: Instant::now(),
            refused: HashMap::new(),
        })
    }

    /// Whether the messages of some key have been refused one and all for a while.
    pub(super) fn is_refused(&self) -> bool {
        self.refused.values().any(|since| since.elapsed() >= REFUSED)
    }

    /// Goes on with another channel. What is in flight on the one before is still waited for.
    pub(super) fn renew(&mut self, channel: Channel) {
        self.channel = channel;
        self.refused.clear();
    }

    /// A missing exchange closes the channel and leaves the connection alone, so that no event tells of it.
    pub(super) fn is_alive(&self) -> bool {
        self.channel.status().connected()
    }

    /// For how long it has waited for any confirm. While the broker is `blocked` it waits for none.
    pub(super) fn waits_since(&mut self, blocked: bool) -> Duration {
        if blocked || self.in_flight.is_empty() {
            self.heard = Instant::now();
        }
        self.heard.elapsed()
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

    /// Answers the messages whose confirms are there, at least one, and tells whether each found a queue; never ends
    /// while nothing is in flight.
    pub(super) async fn settle(&mut self) -> bool {
        let Some(first) = self.in_flight.next().await else { return std::future::pending().await };
        self.heard = Instant::now();
        let mut resolved = vec![first];
        take_resolved(&mut self.in_flight, &mut resolved);
        for (waiting, outcome) in &resolved {
            self.note_stray(outcome, &waiting.identity);
        }
        let mut routed = true;
        for (waiting, outcome) in resolved {
            let result = self.judge(outcome, &waiting.identity);
            self.note_refusal(&waiting.identity.1, &result);
            routed &= !matches!(result, Err(PublishError::Unroutable { .. }));
            // Who no longer waits for the answer does not need it.
            let _ = waiting.answer.send(result);
        }
        routed
    }

    /// Remembers another message's return.
    fn note_stray(&mut self, outcome: &lapin::Result<Confirmation>, own: &Identity) {
        if let Some(returned) = returned(outcome).filter(|returned| returned != own) {
            self.strays.insert(returned);
        }
    }

    fn note_refusal(&mut self, key: &str, result: &Result<(), PublishError>) {
        match result {
            Ok(()) => drop(self.refused.remove(key)),
            Err(PublishError::Full { .. }) if !self.refused.contains_key(key) => {
                self.refused.insert(key.to_owned(), Instant::now());
            }
            Err(_) => {}
        }
    }

    fn judge(&mut self, outcome: lapin::Result<Confirmation>, own: &Identity) -> Result<(), PublishError> {
        let (key, returned) = (own.1.clone(), returned(&outcome));
        let went_nowhere = self.strays.remove(own) || returned.as_ref() == Some(own);
        match outcome {
            Err(_) => Err(PublishError::InDoubt { key }),
            Ok(Confirmation::Nack(_)) => Err(PublishError::Full { key }),
            Ok(Confirmation::Ack(_)) if went_nowhere => Err(PublishError::Unroutable { key }),
            // This one's own return, if there is one, may still stand behind the other's.
            Ok(Confirmation::Ack(Some(_))) => Err(PublishError::InDoubt { key }),
            Ok(Confirmation::Ack(None) | Confirmation::NotRequested) => Ok(()),
        }
    }
}

/// All that is resolved by now.
fn take_resolved(in_flight: &mut InFlight, resolved: &mut Vec<Resolved>) {
    let again = Arc::new(Flag::default());
    let waker = Waker::from(again.clone());
    // It says "pending" now and then although more is ready, and wakes its caller at once.
    loop {
        match in_flight.poll_next_unpin(&mut Context::from_waker(&waker)) {
            Poll::Ready(Some(next)) => resolved.push(next),
            Poll::Pending if again.0.swap(false, Ordering::AcqRel) => {}
            Poll::Ready(None) | Poll::Pending => return,
        }
    }
}

/// Remembers that it was woken.
#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
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

fn returned(outcome: &lapin::Result<Confirmation>) -> Option<Identity> {
    let Ok(Confirmation::Ack(Some(returned)) | Confirmation::Nack(Some(returned))) = outcome else { return None };
    let delivery = &returned.delivery;
    let id = delivery.properties.message_id().as_ref().map(ToString::to_string);
    Some((id, delivery.routing_key.to_string()))
}

//! A delivery that this worker holds, until it is acknowledged, given back, or lost with its channel.

use crate::decision::Received;
use lapin::{
    Channel,
    message::Delivery,
    options::{BasicAckOptions, BasicNackOptions},
};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use warren_messaging::message::Incoming;

/// RabbitMQ hands a quorum queue so many commands of a channel (`quorum_commands_soft_limit`), keeps what comes beyond them
/// in the channel until the queue has answered one, and forgets it when the channel is closed before that.
pub(crate) const MOST_AT_ONCE: u16 = 32;
/// How long that answer may take, on a disk that is busy with others: without a pause requests came back there.
const ANSWER: Duration = Duration::from_secs(1);
/// The broker delivered the request this often in vain: it may be what killed its workers, and is run alone.
const SUSPECT: u32 = 2;

/// When this worker settled its last deliveries, [`MOST_AT_ONCE`] of them and one more.
#[derive(Clone, Default)]
pub(crate) struct Settled(Arc<Mutex<VecDeque<Instant>>>);

impl Settled {
    fn note(&self) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.push_back(Instant::now());
        if last.len() > usize::from(MOST_AT_ONCE) + 1 {
            last.pop_front();
        }
    }

    /// How long it takes until the queue has it all.
    pub(crate) fn pause(&self) -> Duration {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_much = last.len() > MOST_AT_ONCE.into() && last.front().is_some_and(|first| first.elapsed() < ANSWER);
        let newest = last.back().filter(|_| is_much);
        newest.map_or(Duration::ZERO, |newest| ANSWER.saturating_sub(newest.elapsed()))
    }
}

/// A delivery and the channel to answer it on.
pub(crate) struct Lease {
    delivery: Delivery,
    channel: Channel,
    settled: Settled,
}

impl Lease {
    pub(crate) fn new(delivery: Delivery, channel: &Channel, settled: &Settled) -> Self {
        Self { delivery, channel: channel.clone(), settled: settled.clone() }
    }

    pub(crate) fn received(&self) -> Received<'_> {
        let Delivery { data, properties, redelivered, .. } = &self.delivery;
        Received { body: data, properties, redelivered: *redelivered }
    }

    pub(crate) fn incoming(&self) -> Incoming<'_> {
        Incoming(&self.delivery.properties)
    }

    /// How often it came back without an answer. Quorum queues count that; for classic ones a worker does who gets it
    /// again.
    pub(crate) fn came_back(&self) -> u32 {
        self.incoming().delivery_count().saturating_add(self.incoming().vanished())
    }

    /// Whether it may be poison. A quorum queue gives it many tries; on a classic one each costs an attempt.
    pub(crate) fn is_suspect(&self) -> bool {
        self.incoming().delivery_count() >= SUSPECT || self.incoming().vanished() > 0
    }

    /// Whether the broker has taken it back meanwhile, and will deliver or has delivered it again.
    pub(crate) fn is_lost(&self) -> bool {
        !self.channel.status().connected()
    }

    /// Acknowledges it. `false`: it was lost before.
    pub(crate) async fn ack(&self) -> bool {
        // On the channel itself: lapin's acker gets there by way of two more tasks.
        let acked = self.channel.basic_ack(self.delivery.delivery_tag, BasicAckOptions::default()).await.is_ok();
        self.settled.note();
        acked
    }

    /// Gives it back for another worker. RabbitMQ 4.3 counts no delivery for this, unlike for a lost connection.
    pub(crate) async fn give_back(&self) {
        let options = BasicNackOptions { requeue: true, ..BasicNackOptions::default() };
        // Lost already: then it is back anyway.
        let _ = self.channel.basic_nack(self.delivery.delivery_tag, options).await;
        self.settled.note();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_after_more_than_rabbitmq_takes_at_once_is_there_something_to_wait_for() {
        let settled = Settled::default();
        for _ in 0..MOST_AT_ONCE {
            settled.note();
        }
        assert_eq!(settled.pause(), Duration::ZERO);
        settled.note();
        assert!(settled.pause() > ANSWER / 2);
        let long_ago = Instant::now().checked_sub(ANSWER).expect("the machine runs for longer");
        settled.0.lock().expect("nobody panicked")[0] = long_ago;
        assert_eq!(settled.pause(), Duration::ZERO, "the first of them was answered");
    }
}

//! A delivery that this worker holds, until it is acknowledged, given back, or lost with its channel.

use crate::decision::Received;
use lapin::{
    Channel,
    message::Delivery,
    options::{BasicAckOptions, BasicNackOptions},
};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use warren_messaging::message::Incoming;

/// The broker delivered the request this often in vain: it may be what killed its workers, and is run alone.
const SUSPECT: u32 = 2;

/// When this worker acknowledged something last.
#[derive(Clone, Default)]
pub(crate) struct LastAck(Arc<Mutex<Option<Instant>>>);

impl LastAck {
    fn note(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Waits until that is `long` ago.
    pub(crate) async fn be_past(&self, long: Duration) {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = last {
            tokio::time::sleep(long.saturating_sub(last.elapsed())).await;
        }
    }
}

/// A delivery and the channel to answer it on.
pub(crate) struct Lease {
    delivery: Delivery,
    channel: Channel,
    last_ack: LastAck,
}

impl Lease {
    pub(crate) fn new(delivery: Delivery, channel: &Channel, last_ack: &LastAck) -> Self {
        Self { delivery, channel: channel.clone(), last_ack: last_ack.clone() }
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
        self.last_ack.note();
        acked
    }

    /// Gives it back for another worker. RabbitMQ 4.3 counts no delivery for this, unlike for a lost connection.
    pub(crate) async fn give_back(&self) {
        let options = BasicNackOptions { requeue: true, ..BasicNackOptions::default() };
        // Lost already: then it is back anyway.
        let _ = self.channel.basic_nack(self.delivery.delivery_tag, options).await;
    }
}

//! Requests that were taken and not begun, on their way to another worker.
//!
//! What is given back as it is, a classic queue marks as redelivered, which there means that a worker vanished with it
//! and costs an attempt. So it goes back as a new message where it can.

use crate::{
    lease::Lease,
    publishing::{Unpublished, Worth},
    worker::Worker,
};
use warren_messaging::{
    message::{Outgoing, untouched},
    publisher::PublishError,
    topology::{QueueType, retry_key},
};

impl<H> Worker<H> {
    /// Of a classic queue, while this worker goes on. Returns what has to stay: where the request queue is full and there
    /// is no retry tier to wait in, nothing but work makes room.
    pub(crate) async fn hand_back(&self, lease: Lease) -> Option<Lease> {
        let received = lease.received();
        if received.redelivered {
            lease.give_back().await;
            return None;
        }
        let message = untouched(received.body, received.properties);
        let mut sent = self.publishing.confirmed(&message, Worth::WhileLeased, &lease, &self.tally).await;
        if let (Err(Unpublished::NoRoom), Some(message)) = (sent, self.detour(message)) {
            sent = self.publishing.confirmed(&message, Worth::WhileLeased, &lease, &self.tally).await;
        }
        if sent.is_ok() {
            lease.ack().await;
        }
        (sent == Err(Unpublished::NoRoom)).then_some(lease)
    }

    /// While this worker stops: only where all else fails as it is.
    pub(crate) async fn give_back(&self, lease: &Lease) {
        let received = lease.received();
        if self.rules.queue_type == QueueType::Classic && !received.redelivered {
            let message = untouched(received.body, received.properties);
            if self.sent_once(message).await && lease.ack().await {
                return;
            }
        }
        lease.give_back().await;
    }

    async fn sent_once(&self, message: Outgoing) -> bool {
        let publisher = &self.publishing.publisher;
        match publisher.publish(&message).await {
            Err(PublishError::Full { .. }) => match self.detour(message) {
                Some(message) => publisher.publish(&message).await.is_ok(),
                None => false,
            },
            sent => sent.is_ok(),
        }
    }

    /// The same message by way of the shortest retry tier, which is never full.
    fn detour(&self, message: Outgoing) -> Option<Outgoing> {
        let tier = self.rules.retry.tiers().first().copied()?;
        Some(Outgoing { routing_key: retry_key(tier), ..message })
    }
}

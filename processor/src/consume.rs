//! Takes deliveries from the request queue for as long as a connection lives.

use crate::{Handler, health::Intake, isolation, lease::Lease, worker::Worker};
use futures::StreamExt as _;
use lapin::{
    Channel, Consumer,
    message::Delivery,
    options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions},
    types::FieldTable,
};
use std::{pin::pin, sync::Arc, time::Duration};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use warren_messaging::link::{LinkError, Opened, Session};

/// How soon a lost channel is noticed by somebody who waits for something else.
const LOSS_POLL: Duration = Duration::from_millis(500);

/// Consumes the request queue, connection after connection.
pub(crate) struct ConsumeSession<H> {
    pub(crate) worker: Arc<Worker<H>>,
    pub(crate) queue: String,
    pub(crate) intake: Arc<Intake>,
}

/// Why a round of consuming ended without an error.
enum Turn {
    /// The process wants to stop; this delivery was not begun.
    Stop(Option<Lease>),
    /// This delivery may be poison.
    Suspect(Lease),
}

impl<H: Handler> Session for ConsumeSession<H> {
    async fn serve(&mut self, opened: Opened<'_>) -> Result<(), LinkError> {
        self.intake.closed();
        let channel = opened.connection.create_channel().await?;
        // Prefetch is what may be in work, no more: a crash costs each prefetched request one delivery.
        channel.basic_qos(self.worker.capacity, BasicQosOptions::default()).await?;
        let result = self.rounds(&channel, opened.stop).await;
        self.intake.closed();
        result
    }
}

impl<H: Handler> ConsumeSession<H> {
    /// One round ends when a suspect needs the worker for itself; then the next begins.
    async fn rounds(&self, channel: &Channel, stop: &CancellationToken) -> Result<(), LinkError> {
        loop {
            let mut deliveries = self.subscribe(channel).await?;
            let unbegun = match self.take(channel, &mut deliveries, stop).await? {
                Turn::Suspect(suspect) => self.isolate(channel, deliveries, suspect, stop).await?,
                Turn::Stop(unbegun) => {
                    let mut held = self.unsubscribe(channel, deliveries).await?;
                    held.extend(unbegun);
                    held
                }
            };
            if stop.is_cancelled() {
                self.leave(unbegun).await;
                return Ok(());
            }
        }
    }

    async fn subscribe(&self, channel: &Channel) -> Result<Consumer, LinkError> {
        let (queue, options) = (self.queue.as_str().into(), BasicConsumeOptions::default());
        let consumer = channel.basic_consume(queue, "".into(), options, FieldTable::default()).await?;
        self.intake.open();
        Ok(consumer)
    }

    /// Begins each delivery as it comes.
    async fn take(
        &self,
        channel: &Channel,
        deliveries: &mut Consumer,
        stop: &CancellationToken,
    ) -> Result<Turn, LinkError> {
        let mut stopped = pin!(stop.cancelled());
        loop {
            let next = tokio::select! {
                biased;
                () = &mut stopped => return Ok(Turn::Stop(None)),
                next = deliveries.next() => next,
            };
            let lease = self.lease(next, channel)?;
            if lease.is_suspect() {
                return Ok(Turn::Suspect(lease));
            }
            match self.slots(1, channel, stop).await? {
                Some(slot) => self.worker.begin(lease, slot),
                None => return Ok(Turn::Stop(Some(lease))),
            }
        }
    }

    /// A stream that ends by itself was cancelled by the broker.
    fn lease(&self, next: Option<lapin::Result<Delivery>>, channel: &Channel) -> Result<Lease, LinkError> {
        let delivery = next.ok_or_else(|| LinkError::Cancelled { queue: self.queue.clone() })?;
        Ok(Lease::new(delivery?, channel))
    }

    /// Room for work, or `None` when the process wants to stop. There is mostly room at once: there are as many
    /// slots as deliveries. But work that outlived its connection, and a suspect, take some.
    async fn slots(
        &self,
        many: u16,
        channel: &Channel,
        stop: &CancellationToken,
    ) -> Result<Option<OwnedSemaphorePermit>, LinkError> {
        let slots = Arc::clone(&self.worker.slots);
        if let Ok(slot) = slots.clone().try_acquire_many_owned(many.into()) {
            return Ok(Some(slot));
        }
        tokio::select! {
            () = stop.cancelled() => Ok(None),
            () = lost(channel) => Err(LinkError::ChannelClosed),
            // Never closed, so never an error.
            slot = slots.acquire_many_owned(many.into()) => Ok(slot.ok()),
        }
    }

    /// Runs what is held with nothing else prefetched: first what is above suspicion, then each suspect alone.
    /// Returns what was not begun, when the process wants to stop.
    async fn isolate(
        &self,
        channel: &Channel,
        deliveries: Consumer,
        suspect: Lease,
        stop: &CancellationToken,
    ) -> Result<Vec<Lease>, LinkError> {
        let mut held = self.unsubscribe(channel, deliveries).await?;
        held.push(suspect);
        let all = self.worker.capacity;
        let mut waiting = isolation::order(held, |lease| lease.incoming().delivery_count()).into_iter();
        while let Some(lease) = waiting.next() {
            let many = if lease.is_suspect() { all } else { 1 };
            match self.slots(many, channel, stop).await? {
                Some(slots) => self.worker.begin(lease, slots),
                None => return Ok(std::iter::once(lease).chain(waiting).collect()),
            }
        }
        // Until the last one has left.
        self.slots(all, channel, stop).await?;
        Ok(Vec::new())
    }

    /// Takes no more deliveries; returns those that had come already.
    async fn unsubscribe(&self, channel: &Channel, mut deliveries: Consumer) -> Result<Vec<Lease>, LinkError> {
        channel.basic_cancel(deliveries.tag(), BasicCancelOptions::default()).await?;
        let mut held = Vec::new();
        while let Some(delivery) = deliveries.next().await {
            held.push(Lease::new(delivery?, channel));
        }
        Ok(held)
    }

    /// Gives back what was not begun, and finishes what runs while the connection is still there to ack it.
    async fn leave(&self, unbegun: Vec<Lease>) {
        tracing::info!(given_back = unbegun.len(), in_work = self.worker.tally.in_flight(), "takes no more requests");
        for lease in &unbegun {
            lease.give_back().await;
        }
        self.worker.tasks.close();
        self.worker.tasks.wait().await;
    }
}

/// Until the channel is of no more use. Nothing on lapin's side can be waited for that tells of both a closed
/// channel and a closed connection.
async fn lost(channel: &Channel) {
    while channel.status().connected() {
        tokio::time::sleep(LOSS_POLL).await;
    }
}

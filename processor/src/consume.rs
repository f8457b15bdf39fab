//! Takes deliveries from the request queue for as long as a connection lives.

use crate::{
    Handler,
    cordon::Orders,
    health::{Intake, Stage},
    isolation,
    lease::{Lease, MOST_AT_ONCE},
    worker::Worker,
};
use futures::{StreamExt as _, future::join_all};
use lapin::{
    Channel, Connection, Consumer,
    message::Delivery,
    options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions},
    types::FieldTable,
};
use std::{collections::VecDeque, pin::pin, sync::Arc, time::Duration};
use tokio::{sync::OwnedSemaphorePermit, time::timeout};
use tokio_util::sync::CancellationToken;
use warren_messaging::{
    link::{LinkError, Opened, Session, open_channel},
    topology::QueueType,
};

/// How soon a lost channel is noticed by somebody who waits for something else.
const LOSS_POLL: Duration = Duration::from_millis(500);
/// An idle worker subscribes anew this often. When its queue is deleted and declared again at once, RabbitMQ 3.10.8
/// sends no basic.cancel; the new quorum queue shows the old consumer, and requests assigned to it that never arrive.
/// Nothing tells the worker, and quorum queues refuse `x-cancel-on-ha-failover`.
const RENEWAL: Duration = Duration::from_secs(15);

/// Consumes the request queue, connection after connection.
pub(crate) struct ConsumeSession<H> {
    pub(crate) worker: Arc<Worker<H>>,
    pub(crate) queue: String,
    pub(crate) intake: Arc<Intake>,
}

/// Why a subscription ended without an error.
enum Turn {
    /// The process wants to stop; this delivery was not begun.
    Stop(Option<Lease>),
    /// This delivery may be poison.
    Suspect(Lease),
    /// Nothing came, and nothing is in work.
    Idle,
    /// The operator asked to take nothing for a while, and nothing is in work.
    Ordered,
}

impl<H: Handler> Session for ConsumeSession<H> {
    async fn serve(&mut self, opened: Opened<'_>) -> Result<(), LinkError> {
        let _consuming = self.intake.opening();
        self.subscriptions(&opened).await
    }
}

impl<H: Handler> ConsumeSession<H> {
    /// One subscription after the other: each ends when deliveries have to be looked at in peace.
    async fn subscriptions(&self, opened: &Opened<'_>) -> Result<(), LinkError> {
        let Opened { connection, stop, .. } = *opened;
        let mut channel = self.open(connection).await?;
        let mut orders = self.worker.cordon.orders();
        loop {
            let mut deliveries = self.subscribe(&channel).await?;
            self.intake.set(Stage::Open);
            opened.ready();
            let turn = self.take(&channel, &mut deliveries, &mut orders, stop).await?;
            let mut held = self.unsubscribe(&channel, deliveries).await?;
            match turn {
                // Only by this does RabbitMQ give back what it holds for the channel and never delivered.
                Turn::Idle if held.is_empty() => {
                    self.arrive().await;
                    channel = self.reopen(&channel, connection).await?;
                }
                // What slipped in is run, and then this worker is not idle.
                Turn::Ordered if held.is_empty() => {
                    self.arrive().await;
                    channel = self.reopen(&channel, connection).await?;
                    self.hold(&channel, &mut orders, stop).await?;
                }
                Turn::Idle | Turn::Ordered => {}
                Turn::Suspect(suspect) => held.push(suspect),
                Turn::Stop(unbegun) => held.extend(unbegun),
            }
            let unbegun = self.run_held(&channel, held, stop).await?;
            if stop.is_cancelled() {
                self.leave(unbegun).await;
                return Ok(());
            }
        }
    }

    async fn open(&self, connection: &Connection) -> Result<Channel, LinkError> {
        let channel = open_channel(connection).await?;
        // Prefetch is what may be in work, no more: a crash costs each prefetched request one delivery.
        channel.basic_qos(self.worker.capacity, BasicQosOptions::default()).await?;
        Ok(channel)
    }

    async fn reopen(&self, channel: &Channel, connection: &Connection) -> Result<Channel, LinkError> {
        channel.close(200, "idle".into()).await?;
        self.open(connection).await
    }

    async fn subscribe(&self, channel: &Channel) -> Result<Consumer, LinkError> {
        let (queue, options) = (self.queue.as_str().into(), BasicConsumeOptions::default());
        Ok(channel.basic_consume(queue, "".into(), options, FieldTable::default()).await?)
    }

    /// Begins each delivery as it comes.
    async fn take(
        &self,
        channel: &Channel,
        deliveries: &mut Consumer,
        orders: &mut Orders,
        stop: &CancellationToken,
    ) -> Result<Turn, LinkError> {
        let mut stopped = pin!(stop.cancelled());
        loop {
            let next = tokio::select! {
                biased;
                () = &mut stopped => return Ok(Turn::Stop(None)),
                () = orders.next() => {
                    if self.worker.is_idle() {
                        return Ok(Turn::Ordered);
                    }
                    // So that the operator need not wait for an answer.
                    self.worker.cordon.report();
                    continue;
                }
                next = timeout(RENEWAL, deliveries.next()) => next,
            };
            let lease = match next {
                Ok(next) => self.lease(next, channel)?,
                Err(_) if self.worker.is_idle() => return Ok(Turn::Idle),
                Err(_) => continue,
            };
            if lease.is_suspect() {
                return Ok(Turn::Suspect(lease));
            }
            match self.slots(1, channel, stop).await? {
                Some(slot) => self.worker.begin(lease, slot),
                None => return Ok(Turn::Stop(Some(lease))),
            }
        }
    }

    /// Takes nothing for as long as was ordered. It is safe to end this worker meanwhile, and to leave it alone: after that
    /// time, or a lost connection, it goes on.
    async fn hold(&self, channel: &Channel, orders: &mut Orders, stop: &CancellationToken) -> Result<(), LinkError> {
        let cordon = &self.worker.cordon;
        let _held = cordon.hold();
        tokio::select! {
            () = stop.cancelled() => Ok(()),
            () = lost(channel) => Err(LinkError::ChannelClosed),
            () = orders.over(|| cordon.report()) => Ok(()),
        }
    }

    /// A stream that ends by itself was cancelled by the broker.
    fn lease(&self, next: Option<lapin::Result<Delivery>>, channel: &Channel) -> Result<Lease, LinkError> {
        let delivery = next.ok_or_else(|| LinkError::Cancelled { queue: self.queue.clone() })?;
        Ok(Lease::new(delivery?, channel, &self.worker.settled))
    }

    /// Room for work, or `None` when the process wants to stop. There is mostly room at once: there are as many
    /// slots as deliveries. But work that outlived its connection, and a suspect, take some.
    async fn slots(
        &self,
        many: u16,
        channel: &Channel,
        stop: &CancellationToken,
    ) -> Result<Option<OwnedSemaphorePermit>, LinkError> {
        if stop.is_cancelled() {
            return Ok(None);
        }
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
    ///
    /// Of a classic queue only the first suspect is run: a crash would cost the others an attempt, so they go back.
    async fn run_held(
        &self,
        channel: &Channel,
        held: Vec<Lease>,
        stop: &CancellationToken,
    ) -> Result<Vec<Lease>, LinkError> {
        let all = self.worker.capacity;
        let any_suspect = held.iter().any(Lease::is_suspect);
        let mut waiting = VecDeque::from(isolation::order(held, Lease::came_back));
        while let Some(lease) = waiting.pop_front() {
            let many = if lease.is_suspect() { all } else { 1 };
            let Some(slots) = self.slots(many, channel, stop).await? else {
                return Ok(std::iter::once(lease).chain(waiting).collect());
            };
            if lease.is_suspect() && self.worker.rules.queue_type == QueueType::Classic {
                let handed_back = waiting.drain(..).map(|other| self.worker.hand_back(other));
                waiting = join_all(handed_back).await.into_iter().flatten().collect();
            }
            self.worker.begin(lease, slots);
        }
        if any_suspect {
            // Until the last one has left.
            self.slots(all, channel, stop).await?;
        }
        Ok(Vec::new())
    }

    /// Takes no more deliveries; returns those that had come already.
    async fn unsubscribe(&self, channel: &Channel, mut deliveries: Consumer) -> Result<Vec<Lease>, LinkError> {
        channel.basic_cancel(deliveries.tag(), BasicCancelOptions::default()).await?;
        let mut held = Vec::new();
        while let Some(delivery) = deliveries.next().await {
            held.push(Lease::new(delivery?, channel, &self.worker.settled));
        }
        Ok(held)
    }

    /// Gives back what was not begun, and finishes what runs while the connection is still there to ack it.
    async fn leave(&self, unbegun: Vec<Lease>) {
        tracing::info!(given_back = unbegun.len(), in_work = self.worker.tally.in_flight(), "takes no more requests");
        for lease in &unbegun {
            self.worker.give_back(lease).await;
        }
        self.worker.tasks.close();
        self.worker.tasks.wait().await;
        self.arrive().await;
    }

    /// Gives what was settled the time to get from the channel to the queue, before the channel is closed: whatever is
    /// forgotten there is done again.
    async fn arrive(&self) {
        if self.worker.rules.queue_type == QueueType::Quorum && self.worker.capacity > MOST_AT_ONCE {
            tokio::time::sleep(self.worker.settled.pause()).await;
        }
    }
}

/// Until the channel is of no more use. Nothing on lapin's side can be waited for that tells of both a closed
/// channel and a closed connection.
async fn lost(channel: &Channel) {
    while channel.status().connected() {
        tokio::time::sleep(LOSS_POLL).await;
    }
}

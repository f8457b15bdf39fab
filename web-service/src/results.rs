//! Takes results, failures and progress from the queue into the store: one transaction for all that is there,
//! then one acknowledgement for all of them.

mod decode;
#[cfg(test)]
mod properties;

use crate::{
    metrics::{Metrics, Outcome},
    record::{Change, What},
    store::Store,
    waiters::Waiters,
};
use futures::{FutureExt as _, StreamExt as _};
use jiff::Timestamp;
use lapin::{
    Channel, Consumer,
    message::Delivery,
    options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions},
    types::FieldTable,
};
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;
use warren_messaging::link::{LinkError, Opened, Session, open_channel};

/// How many messages the broker sends ahead. They are held in memory, so this times the largest result has to fit
/// into the process.
const PREFETCH: u16 = 64;
/// The most bytes of messages in one transaction: they are held twice while it is written.
const BATCH_BYTES: usize = 8 * 1024 * 1024;
/// Between two tries to record a batch while the store fails.
const STORE_RETRY: Duration = Duration::from_millis(500);
/// An idle consumer subscribes anew this often. When its queue is deleted and declared again at once, RabbitMQ 3.10
/// sends no basic.cancel: it subscribes the consumer to the new quorum queue by itself, and then drops every
/// delivery to it, for ever, without a word.
const RENEWAL: Duration = Duration::from_secs(15);

/// The consumer of a pipeline's results queue.
pub struct Results {
    /// The queue.
    pub queue: String,
    /// Where records go.
    pub store: Store,
    /// Who waits for them.
    pub waiters: Waiters,
    /// Counts.
    pub metrics: Arc<Metrics>,
}

/// Why a subscription ended without an error.
enum Ended {
    /// The process wants to stop.
    Stop,
    /// Nothing came for a while.
    Idle,
}

impl Session for Results {
    async fn serve(&mut self, opened: Opened<'_>) -> Result<(), LinkError> {
        loop {
            let channel = open_channel(opened.connection).await?;
            channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
            let mut consumer = self.consume(&channel).await?;
            opened.ready();
            let ended = self.take_all(&channel, &mut consumer, opened.stop).await?;
            // What was sent ahead goes back to the queue with the channel.
            channel.close(200, "done".into()).await?;
            if let Ended::Stop = ended {
                return Ok(());
            }
        }
    }
}

impl Results {
    /// Takes batch after batch, until there is a reason not to.
    async fn take_all(
        &self,
        channel: &Channel,
        consumer: &mut Consumer,
        stop: &CancellationToken,
    ) -> Result<Ended, LinkError> {
        loop {
            let first = tokio::select! {
                () = stop.cancelled() => return Ok(Ended::Stop),
                () = tokio::time::sleep(RENEWAL) => return Ok(Ended::Idle),
                delivery = consumer.next() => self.delivered(delivery)?,
            };
            let batch = gather(first, consumer)?;
            if !self.take(&batch, stop).await {
                return Ok(Ended::Stop);
            }
            if let Some(last) = batch.last() {
                // On the channel itself: by lapin's acker it may never end, when the connection is lost just then.
                channel.basic_ack(last.delivery_tag, BasicAckOptions { multiple: true }).await?;
            }
        }
    }

    async fn consume(&self, channel: &Channel) -> Result<Consumer, LinkError> {
        let (queue, options) = (self.queue.as_str().into(), BasicConsumeOptions::default());
        Ok(channel.basic_consume(queue, "warren-web-service".into(), options, FieldTable::default()).await?)
    }

    /// The stream ends when the broker cancels the consumer.
    fn delivered(&self, delivery: Option<lapin::Result<Delivery>>) -> Result<Delivery, LinkError> {
        delivery.ok_or_else(|| LinkError::Cancelled { queue: self.queue.clone() })?.map_err(LinkError::from)
    }

    /// Records a batch, which may then be acknowledged; `false` when the process stops before the store works again.
    async fn take(&self, batch: &[Delivery], stop: &CancellationToken) -> bool {
        self.metrics.batch.observe(batch.len() as f64);
        let changes: Arc<[Change]> = self.decode(batch).into();
        while let Err(error) = self.store.record(changes.clone()).await {
            tracing::debug!(%error, messages = batch.len(), "results wait in the queue until they can be recorded");
            if stop.run_until_cancelled(tokio::time::sleep(STORE_RETRY)).await.is_none() {
                return false;
            }
        }
        self.tell(&changes);
        true
    }

    /// A message that nobody can read is told and let go: it would come back for ever. A dead letter stays in the
    /// dead-letter queue all the same.
    fn decode(&self, batch: &[Delivery]) -> Vec<Change> {
        let at = Timestamp::now();
        let read = |delivery: &Delivery| {
            let change = decode::change(delivery, at);
            change.map_err(|error| {
                self.metrics.undecodable.inc();
                tracing::warn!(queue = self.queue, key = %delivery.routing_key, "skipped a message: {error}");
            })
        };
        batch.iter().filter_map(|delivery| read(delivery).ok()).collect()
    }

    fn tell(&self, changes: &[Change]) {
        let ended = || changes.iter().filter(|change| change.is_final());
        for change in ended() {
            let outcome = if matches!(change.what, What::Failed { .. }) { "failed" } else { "succeeded" };
            self.metrics.ended.get_or_create(&Outcome { outcome }).inc();
        }
        // Last: who is woken may look at the counts.
        self.waiters.wake(ended().map(|change| &change.id));
    }
}

/// The first delivery and those that have already arrived behind it.
fn gather(first: Delivery, consumer: &mut Consumer) -> Result<Vec<Delivery>, LinkError> {
    let (mut bytes, mut batch) = (first.data.len(), vec![first]);
    while bytes < BATCH_BYTES {
        match consumer.next().now_or_never() {
            Some(Some(delivery)) => {
                let delivery = delivery?;
                bytes += delivery.data.len();
                batch.push(delivery);
            }
            // An ended stream is met again, with nothing in hand, at the next round.
            Some(None) | None => break,
        }
    }
    Ok(batch)
}

//! Takes results, failures and progress from the queue into the store: one transaction for all that is there,
//! then one acknowledgement for all of them.

mod decode;

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
    options::{BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicQosOptions},
    types::FieldTable,
};
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;
use warren_messaging::link::{LinkError, Opened, Session};

/// How many messages the broker sends ahead; about two batches, so that one arrives while one is committed.
const PREFETCH: u16 = 512;
/// The most messages in one transaction.
const BATCH: usize = 256;
/// Between two tries to record a batch while the store fails.
const STORE_RETRY: Duration = Duration::from_millis(500);

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

impl Session for Results {
    async fn serve(&mut self, opened: Opened<'_>) -> Result<(), LinkError> {
        let channel = opened.connection.create_channel().await?;
        channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
        let mut consumer = self.consume(&channel).await?;
        opened.ready();
        loop {
            let first = tokio::select! {
                () = opened.stop.cancelled() => break,
                delivery = consumer.next() => self.delivered(delivery)?,
            };
            let batch = gather(first, &mut consumer)?;
            if !self.take(&batch, opened.stop).await? {
                break;
            }
        }
        // What was sent ahead goes back to the queue when the connection closes.
        channel.basic_cancel(consumer.tag(), BasicCancelOptions::default()).await?;
        Ok(())
    }
}

impl Results {
    async fn consume(&self, channel: &Channel) -> Result<Consumer, LinkError> {
        let (queue, options) = (self.queue.as_str().into(), BasicConsumeOptions::default());
        Ok(channel.basic_consume(queue, "warren-web-service".into(), options, FieldTable::default()).await?)
    }

    /// The stream ends when the broker cancels the consumer.
    fn delivered(&self, delivery: Option<lapin::Result<Delivery>>) -> Result<Delivery, LinkError> {
        delivery.ok_or_else(|| LinkError::Cancelled { queue: self.queue.clone() })?.map_err(LinkError::from)
    }

    /// Records a batch, then acknowledges it; `false` when the process stops before the store works again.
    async fn take(&self, batch: &[Delivery], stop: &CancellationToken) -> Result<bool, LinkError> {
        let Some(last) = batch.last() else { return Ok(true) };
        let at = Timestamp::now();
        let decode = || batch.iter().filter_map(|delivery| decode::change(delivery, at).ok()).collect::<Vec<_>>();
        self.metrics.batch.observe(batch.len() as f64);
        while let Err(error) = self.record(decode()).await {
            tracing::debug!(%error, messages = batch.len(), "results wait in the queue until they can be recorded");
            if stop.run_until_cancelled(tokio::time::sleep(STORE_RETRY)).await.is_none() {
                return Ok(false);
            }
        }
        self.note_undecodable(batch, at);
        last.ack(BasicAckOptions { multiple: true }).await?;
        Ok(true)
    }

    async fn record(&self, changes: Vec<Change>) -> Result<(), crate::store::StoreError> {
        let ended: Vec<_> = changes.iter().filter(|change| change.is_final()).map(|change| change.id.clone()).collect();
        let failed = changes.iter().filter(|change| matches!(change.what, What::Failed { .. })).count();
        self.store.record(changes).await?;
        self.waiters.wake(&ended);
        self.count("failed", failed);
        self.count("succeeded", ended.len() - failed);
        Ok(())
    }

    fn count(&self, outcome: &'static str, ended: usize) {
        self.metrics.ended.get_or_create(&Outcome { outcome }).inc_by(ended as u64);
    }

    /// A message that nobody can read is told and let go: it would come back for ever. A dead letter stays in
    /// the dead-letter queue all the same.
    fn note_undecodable(&self, batch: &[Delivery], at: Timestamp) {
        for delivery in batch {
            if let Err(error) = decode::change(delivery, at) {
                self.metrics.undecodable.inc();
                tracing::warn!(queue = self.queue, key = %delivery.routing_key, "skipped a message: {error}");
            }
        }
    }
}

/// The first delivery and all that have already arrived behind it.
fn gather(first: Delivery, consumer: &mut Consumer) -> Result<Vec<Delivery>, LinkError> {
    let mut batch = vec![first];
    while batch.len() < BATCH {
        match consumer.next().now_or_never() {
            Some(Some(delivery)) => batch.push(delivery?),
            // An ended stream is met again, with nothing in hand, at the next round.
            Some(None) | None => break,
        }
    }
    Ok(batch)
}

//! Puts requests back on the queue that RabbitMQ does not bring back.
//!
//! A request that waits for its next attempt is in a retry queue. Should somebody delete that queue, or should RabbitMQ hold
//! the request back (`rabbit_fifo_dlx_worker` does so when the request queue is deleted and declared again in an unhappy
//! moment), then nobody would hear of it any more. A request is put back only long after its attempt would have ended, and
//! after RabbitMQ would have offered it again to a queue that was full or away. Should it turn up after all, it is done twice
//! and recorded once.

use crate::{
    metrics::Metrics,
    store::{Missing, Store, StoreError},
};
use futures::{StreamExt as _, stream};
use lapin::{
    Channel,
    options::{BasicGetOptions, BasicNackOptions, QueueDeclareOptions},
    types::FieldTable,
};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;
use warren_messaging::{
    broker::Broker,
    error_chain::Chain,
    link::{Frames, LinkError, connect, open_channel, outlived},
    publisher::Publisher,
    topology::{QueueType, remove::QUIET},
};

/// How often it is looked for missing requests.
const LOOK: Duration = Duration::from_secs(15);
/// How many one look finds.
const MOST: u32 = 1000;
/// How many are in memory at a time.
const AT_ONCE: usize = 8;
/// How long a connection may take to close.
const FAREWELL: Duration = Duration::from_secs(2);

/// Looks for missing requests.
pub struct Search {
    /// Where they are on record.
    pub store: Store,
    /// How they get back.
    pub publisher: Publisher,
    /// Counts them.
    pub metrics: Arc<Metrics>,
    /// Where they could be.
    pub queues: Queues,
    /// How long they are watched.
    pub times: Times,
}

/// How long missing requests are watched.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// Between two looks.
    pub look: Duration,
    /// From the first look at which a request was missing and no queue had anything, to the one at which it is put back.
    pub quiet: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self { look: LOOK, quiet: QUIET }
    }
}

/// Where a request is that is not missing.
pub struct Queues {
    /// The broker.
    pub broker: Broker,
    /// The connection's name at the broker.
    pub connection: String,
    /// Of those that wait for a processor, and of what is to be recorded.
    pub names: [String; 2],
    /// Of both.
    pub queue_type: QueueType,
}

/// Why a look ended early.
#[derive(Debug, thiserror::Error)]
enum SearchError {
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error(transparent)]
    Broker(#[from] lapin::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Missing requests, with the first look at which they could be in no queue.
type Watched = HashMap<Missing, Instant>;

impl Search {
    /// Puts back what is missing, until `stop` is cancelled.
    pub async fn run(self, stop: CancellationToken) {
        let (mut watched, mut is_hindered) = (Watched::new(), false);
        while stop.run_until_cancelled(tokio::time::sleep(self.times.look)).await.is_some() {
            if self.store.health().failure().is_some() || !self.publisher.state().is_ready() {
                // What cannot be heard of, or cannot come, is not missing.
                watched.clear();
                self.metrics.missing.set(0);
                continue;
            }
            let looked = stop.run_until_cancelled(self.look(&mut watched)).await.unwrap_or(Ok(()));
            if let Err(error) = &looked {
                watched.clear();
                // Said once in a row.
                if !is_hindered {
                    tracing::warn!("cannot look for requests that RabbitMQ does not bring back: {}", Chain(error));
                }
            }
            is_hindered = looked.is_err();
            self.metrics.missing.set(i64::try_from(watched.len()).unwrap_or(i64::MAX));
        }
    }

    /// One look. While something waits in a queue nothing begins to be watched, and nothing is put back: it may be that.
    async fn look(&self, watched: &mut Watched) -> Result<(), SearchError> {
        let missing: HashSet<_> = self.store.missing(MOST).await?.into_iter().collect();
        watched.retain(|one, _| missing.contains(one));
        if missing.is_empty() || !self.queues.are_empty().await? {
            return Ok(());
        }
        let now = Instant::now();
        for one in missing {
            watched.entry(one).or_insert(now);
        }
        let long = watched.extract_if(|_, since| now.duration_since(*since) >= self.times.quiet);
        let long = long.map(|(one, _)| one).collect();
        self.put_back(long).await;
        Ok(())
    }

    async fn put_back(&self, these: Vec<Missing>) {
        let publishing = stream::iter(these).map(|one| self.publish(one)).buffer_unordered(AT_ONCE);
        let back: u64 = publishing.map(u64::from).fold(0, async |sum, one| sum + one).await;
        if back > 0 {
            tracing::warn!(
                requests = back,
                "RabbitMQ did not bring requests back for their next attempt (was a queue deleted?): put them on the queue again"
            );
        }
        self.metrics.put_back.inc_by(back);
    }

    /// Whether it is on the queue again. If not, or if nobody knows, it is missed again later.
    async fn publish(&self, missing: Missing) -> bool {
        let (id, replay) = (missing.id.clone(), missing.replay);
        match self.store.claim(missing).await {
            Ok(Some(spare)) => self.publisher.publish(&spare.to_message(&id, replay)).await.is_ok(),
            Ok(None) | Err(_) => false,
        }
    }
}

impl Queues {
    async fn are_empty(&self) -> Result<bool, SearchError> {
        let connection = connect(&self.broker, &self.connection, Frames::Large).await?;
        let asked = async {
            let channel = open_channel(&connection).await?;
            let [requests, results] = &self.names;
            Ok(self.is_empty(&channel, requests).await? && self.is_empty(&channel, results).await?)
        };
        let empty = tokio::select! {
            empty = asked => empty,
            () = outlived(&connection) => Err(LinkError::ChannelClosed.into()),
        };
        let _ = tokio::time::timeout(FAREWELL, connection.close(200, "done".into())).await;
        empty
    }

    /// The count of a quorum queue is 0, too, if its leader is slow to answer (`rabbit_quorum_queue:stat`), so the leader is
    /// asked for a message. Of a classic queue one that is given back would seem to come from a worker that vanished.
    async fn is_empty(&self, channel: &Channel, queue: &str) -> Result<bool, SearchError> {
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let declared = channel.queue_declare(queue.into(), passive, FieldTable::default()).await?;
        if declared.message_count() > 0 || self.queue_type == QueueType::Classic {
            return Ok(declared.message_count() == 0);
        }
        let Some(message) = channel.basic_get(queue.into(), BasicGetOptions::default()).await? else { return Ok(true) };
        let give_back = BasicNackOptions { requeue: true, ..BasicNackOptions::default() };
        channel.basic_nack(message.delivery.delivery_tag, give_back).await?;
        Ok(false)
    }
}

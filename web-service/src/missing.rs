//! Puts requests back on the queue that RabbitMQ does not bring back.
//!
//! A request that waits for its next attempt is in a retry queue. Should somebody delete that queue, or should RabbitMQ hold
//! the request back (`rabbit_fifo_dlx_worker` does so when the request queue is deleted and declared again in an unhappy
//! moment), then nobody would hear of it any more. A request is put back only when it is neither among those that wait for a
//! processor nor on its way to the record. Should it turn up after all, it is done twice and recorded once.

use crate::{
    metrics::Metrics,
    store::{Missing, Store, StoreError},
};
use futures::{StreamExt as _, stream};
use std::{collections::HashSet, sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;
use warren_messaging::{
    broker::Broker,
    error_chain::Chain,
    link::{Frames, LinkError, connect},
    publisher::Publisher,
    topology::depths::Lanes,
};

/// How often it is looked for missing requests. One is put back after two looks in a row.
const LOOK: Duration = Duration::from_secs(10);
/// How many one look finds.
const MOST: u32 = 1000;
/// How many are published at a time.
const AT_ONCE: usize = 32;
/// Only one replica puts requests back.
const LEASE: &str = "missing";
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
}

/// Where a request is that is not missing.
pub struct Queues {
    /// The broker.
    pub broker: Broker,
    /// The connection's name at the broker.
    pub connection: String,
    /// Of those that wait for a processor, and of what is to be recorded.
    pub names: [String; 2],
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

impl Search {
    /// Puts back what is missing, until `stop` is cancelled.
    pub async fn run(self, stop: CancellationToken) {
        let owner = uuid::Uuid::now_v7().to_string();
        let (mut seen, mut without) = (HashSet::new(), 0);
        while stop.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_some() {
            if self.store.health().failure().is_some() || !self.publisher.state().is_ready() {
                seen.clear();
                continue;
            }
            match stop.run_until_cancelled(self.look(&owner, &seen)).await {
                Some(Ok(missing)) => {
                    tell_of_those_without_spare(&missing, &mut without);
                    seen = missing;
                }
                Some(Err(error)) => {
                    tracing::debug!("cannot look for missing requests now: {}", Chain(&error));
                    seen.clear();
                }
                None => {}
            }
        }
    }

    /// One look. Puts back those that were missing at the last one, too; returns those that are missing still.
    async fn look(&self, owner: &str, seen: &HashSet<Missing>) -> Result<HashSet<Missing>, SearchError> {
        let mut missing: HashSet<_> = self.store.missing(MOST).await?.into_iter().collect();
        self.metrics.missing.set(i64::try_from(missing.len()).unwrap_or(i64::MAX));
        if missing.is_empty() || !self.store.take_lease(LEASE, owner).await? || !self.queues.are_empty().await? {
            return Ok(HashSet::new());
        }
        let again = missing.iter().filter(|one| one.has_spare && seen.contains(one)).cloned().collect();
        for one in self.put_back(again).await? {
            missing.remove(&one);
        }
        Ok(missing)
    }

    /// Returns those that are on the queue again.
    async fn put_back(&self, these: Vec<Missing>) -> Result<Vec<Missing>, SearchError> {
        if these.is_empty() {
            return Ok(these);
        }
        let publishing = stream::iter(these).map(|one| self.publish(one)).buffer_unordered(AT_ONCE);
        let back: Vec<_> = publishing.filter_map(std::future::ready).collect().await;
        tracing::warn!(
            requests = back.len(),
            "RabbitMQ did not bring requests back for their next attempt: put them on the queue again. Was a queue deleted?"
        );
        self.metrics.put_back.inc_by(u64::try_from(back.len()).unwrap_or(u64::MAX));
        self.store.note_put_back(back.clone()).await?;
        Ok(back)
    }

    /// What fails is missing still, and is tried again.
    async fn publish(&self, missing: Missing) -> Option<Missing> {
        let spare = self.store.spare(missing.clone()).await.ok()??;
        let message = spare.to_message(&missing.id, missing.attempt.saturating_add(1), missing.replay);
        self.publisher.publish(&message).await.ok().map(|()| missing)
    }
}

impl Queues {
    async fn are_empty(&self) -> Result<bool, SearchError> {
        let connection = connect(&self.broker, &self.connection, Frames::Small).await?;
        let depths = Lanes::default().survey(&connection, &self.names).await;
        let _ = tokio::time::timeout(FAREWELL, connection.close(200, "done".into())).await;
        let depths = depths?;
        Ok(self.names.iter().all(|name| depths.get(name) == Some(&0)))
    }
}

/// Once per number of them.
fn tell_of_those_without_spare(missing: &HashSet<Missing>, told: &mut usize) {
    let without = missing.iter().filter(|one| !one.has_spare).count();
    if without > *told {
        tracing::warn!(
            requests = without,
            "requests do not come back for their next attempt, and no copy of them is kept: they have more than 1 MiB, or their \
             processor is of an earlier version. See `Requests that stay retrying` in docs/troubleshooting.md"
        );
    }
    *told = without;
}

//! Forgets requests whose retention time is over, a little at a time.

use crate::{
    record::Status,
    store::{Store, StoreError},
};
use jiff::Timestamp;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use warren_messaging::error_chain::Chain;

/// How often it is looked for something to forget.
const INTERVAL: Duration = Duration::from_secs(10);
/// How many requests one transaction forgets: few enough that no submit waits noticeably behind it.
const BATCH: u32 = 500;

/// How long what is kept is kept.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Requests that succeeded.
    pub finished: Duration,
    /// Requests that failed, their dead letters, and replays that ended; not shorter than the others.
    pub dead_letters: Duration,
}

/// Forgets what ended longer ago than it is kept, until `stop` is cancelled.
pub async fn enforce(store: Store, retention: Retention, stop: CancellationToken) {
    let failed = retention.dead_letters.max(retention.finished);
    while stop.run_until_cancelled(tokio::time::sleep(INTERVAL)).await.is_some() {
        // What fails is told there, and comes back by itself.
        if store.health().failure().is_some() {
            continue;
        }
        for (status, kept) in [(Status::Succeeded, retention.finished), (Status::Failed, failed)] {
            // A retention longer than time itself keeps everything.
            let Ok(before) = Timestamp::now().checked_sub(kept) else { continue };
            if let Err(error) = forget_before(&store, status, before, &stop).await {
                tracing::warn!("cannot forget old requests now: {}", Chain(&error));
            }
        }
        forget_replays(&store, failed).await;
    }
}

async fn forget_replays(store: &Store, kept: Duration) {
    let Ok(before) = Timestamp::now().checked_sub(kept) else { return };
    if let Err(error) = store.forget_replays(before).await {
        tracing::warn!("cannot forget old replays now: {}", Chain(&error));
    }
}

async fn forget_before(
    store: &Store,
    status: Status,
    before: Timestamp,
    stop: &CancellationToken,
) -> Result<(), StoreError> {
    while !stop.is_cancelled() {
        let forgotten = store.forget(status, before, BATCH).await?;
        if forgotten > 0 {
            tracing::debug!(requests = forgotten, "forgot requests whose retention time is over");
        }
        if forgotten < u64::from(BATCH) {
            break;
        }
    }
    Ok(())
}

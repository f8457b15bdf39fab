//! Forgets requests whose retention time is over, a little at a time.

use crate::{
    record::Status,
    store::{Store, StoreError},
};
use jiff::Timestamp;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use warren_messaging::error_chain::Chain;

/// How often it is looked for something to forget.
const INTERVAL: Duration = Duration::from_secs(10);
/// How many requests one transaction forgets at first, and at most.
const BATCHES: (u32, u32) = (50, 500);
/// How long one may take: submits wait behind it. Large results make few requests take long.
const SHORT: Duration = Duration::from_millis(50);

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
    let mut batch = BATCHES.0;
    while !stop.is_cancelled() {
        let begun = Instant::now();
        let forgotten = store.forget(status, before, batch).await?;
        let took = begun.elapsed();
        if forgotten > 0 {
            tracing::debug!(requests = forgotten, "forgot requests whose retention time is over");
        }
        if forgotten < u64::from(batch) {
            break;
        }
        batch = next_batch(batch, took);
        // As long again for others: the store is theirs first.
        let _ = stop.run_until_cancelled(tokio::time::sleep(took.min(SHORT))).await;
    }
    Ok(())
}

/// More while that is quick, fewer as soon as it is not.
fn next_batch(batch: u32, took: Duration) -> u32 {
    if took > SHORT {
        return (batch / 2).max(1);
    }
    if took < SHORT / 3 { (batch * 2).min(BATCHES.1) } else { batch }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_shrink_when_they_take_long_and_grow_again_to_a_limit() {
        let (slow, quick, neither) = (2 * SHORT, SHORT / 10, SHORT / 2);
        assert_eq!(next_batch(500, slow), 250);
        assert_eq!(next_batch(1, slow), 1);
        assert_eq!(next_batch(50, quick), 100);
        assert_eq!(next_batch(400, quick), 500);
        assert_eq!(next_batch(70, neither), 70);
    }
}

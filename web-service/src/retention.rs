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
/// How many requests one transaction forgets at most.
const MOST: u32 = 500;
/// By how much one may take longer than that of a single request: submits wait behind it. Large results make few requests
/// take long.
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
    let mut batch = Batch::default();
    while !stop.is_cancelled() {
        let begun = Instant::now();
        let forgotten = store.forget(status, before, batch.size).await?;
        let took = begun.elapsed();
        if forgotten > 0 {
            tracing::debug!(requests = forgotten, "forgot requests whose retention time is over");
        }
        if forgotten < u64::from(batch.size) {
            break;
        }
        batch = batch.next(took);
        // As long again for others: the store is theirs first.
        let _ = stop.run_until_cancelled(tokio::time::sleep(took.min(SHORT))).await;
    }
    Ok(())
}

/// How many requests are forgotten at a time.
#[derive(Clone, Copy, Debug)]
struct Batch {
    size: u32,
    /// How long it takes to write anything at all: on a slow disk, or behind others, so long that fewer requests would not
    /// make it shorter.
    alone: Duration,
}

impl Default for Batch {
    fn default() -> Self {
        Self { size: 1, alone: Duration::ZERO }
    }
}

impl Batch {
    /// More while they are quick, fewer as soon as they are not.
    fn next(self, took: Duration) -> Self {
        let alone = if self.size == 1 { took } else { took.min(self.alone) };
        let own = took - alone;
        let size = match self.size {
            size if own > SHORT => (size / 2).max(1),
            size if own < SHORT / 3 => (size * 2).min(MOST),
            size => size,
        };
        Self { size, alone }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sizes of batches, each of which takes so many milliseconds, and so many more for each of its requests.
    fn sizes(batch: &mut Batch, count: usize, millis: u64, each: u64) -> Vec<u32> {
        let step = |_| {
            *batch = batch.next(Duration::from_millis(millis + each * u64::from(batch.size)));
            batch.size
        };
        (0..count).map(step).collect()
    }

    #[test]
    fn batches_grow_to_a_limit_however_slow_the_disk_is() {
        for millis in [1, 30, 60, 900] {
            let sizes = sizes(&mut Batch::default(), 10, millis, 0);
            assert_eq!(sizes, [2, 4, 8, 16, 32, 64, 128, 256, 500, 500], "{millis} ms");
        }
    }

    #[test]
    fn batches_stay_so_small_that_their_requests_take_no_longer_than_they_may() {
        assert_eq!(sizes(&mut Batch::default(), 8, 5, 4), [2, 4, 8, 8, 8, 8, 8, 8]);
        assert_eq!(sizes(&mut Batch::default(), 4, 5, 200), [2, 1, 2, 1], "one at least");
    }

    #[test]
    fn batches_that_shrank_grow_again_whether_it_stays_slow_or_not() {
        for later in [1, 300] {
            let mut batch = Batch { size: 500, alone: Duration::from_millis(1) };
            assert_eq!(sizes(&mut batch, 8, 300, 0), [250, 125, 62, 31, 15, 7, 3, 1]);
            assert_eq!(sizes(&mut batch, 10, later, 0).last(), Some(&500), "{later} ms");
        }
    }
}

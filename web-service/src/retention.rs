//! Forgets requests whose retention time is over, a little at a time.

use crate::store::Store;
use jiff::Timestamp;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use warren_messaging::error_chain::Chain;

/// How often it is looked for something to forget.
const INTERVAL: Duration = Duration::from_secs(10);
/// How many requests one transaction forgets: few enough that no submit waits noticeably behind it.
const BATCH: u32 = 500;

/// Forgets requests that ended longer than `retention` ago, until `stop` is cancelled.
pub async fn enforce(store: Store, retention: Duration, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(INTERVAL)).await.is_some() {
        // What fails is told there, and comes back by itself.
        if store.health().failure().is_some() {
            continue;
        }
        // A retention longer than time itself keeps everything.
        let Ok(before) = Timestamp::now().checked_sub(retention) else { continue };
        if let Err(error) = forget_before(&store, before, &stop).await {
            tracing::warn!("cannot forget old requests now: {}", Chain(&error));
        }
    }
}

async fn forget_before(
    store: &Store,
    before: Timestamp,
    stop: &CancellationToken,
) -> Result<(), crate::store::StoreError> {
    while !stop.is_cancelled() {
        let forgotten = store.forget(before, BATCH).await?;
        if forgotten > 0 {
            tracing::debug!(requests = forgotten, "forgot requests whose retention time is over");
        }
        if forgotten < u64::from(BATCH) {
            break;
        }
    }
    Ok(())
}

//! Whether the store can be written to, learned from the writes themselves.

use super::{Job, StoreError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use warren_messaging::error_chain::Chain;

/// How often a store that failed is tried again.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);

/// The outcome of the latest write. Clones share it.
#[derive(Clone)]
pub struct StoreHealth {
    failure: watch::Sender<Option<String>>,
}

impl Default for StoreHealth {
    fn default() -> Self {
        Self { failure: watch::Sender::new(None) }
    }
}

impl StoreHealth {
    /// Of a store that nothing was written to yet: it counts as failing until something was.
    pub(super) fn unknown(why: String) -> Self {
        Self { failure: watch::Sender::new(Some(why)) }
    }

    /// Notes that nothing can be written for a while, though nothing is wrong.
    pub(super) fn busy(&self, with: &str) {
        self.failure.send_if_modified(|current| {
            let differs = current.as_deref() != Some(with);
            if differs {
                tracing::info!("{with}; refusing requests until it is done");
                *current = Some(with.to_owned());
            }
            differs
        });
    }

    /// What the latest write failed with, or `None` while writes go well.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.failure.borrow().clone()
    }

    /// Notes how a write ended; logs when that changes.
    pub(super) fn note(&self, failure: Option<&StoreError>) {
        let failure = failure.map(|error| Chain(error).to_string());
        self.failure.send_if_modified(|current| {
            let differs = *current != failure;
            match &failure {
                Some(text) if differs => tracing::error!("{text}; refusing requests until it works"),
                None if differs => tracing::info!("the store works"),
                _ => {}
            }
            *current = failure;
            differs
        });
    }
}

/// Submits are refused while the store fails, so that nothing but this would find out that it works again.
pub(super) async fn probe_while_unhealthy(health: StoreHealth, writer: mpsc::WeakSender<Job>) {
    let mut failure = health.failure.subscribe();
    while failure.wait_for(Option::is_some).await.is_ok() {
        let (answer, answered) = oneshot::channel();
        let Some(writer) = writer.upgrade() else { return };
        if writer.send(Job::Probe { answer }).await.is_err() {
            return;
        }
        drop(writer);
        // What came of it is in the health.
        let _ = answered.await;
        tokio::time::sleep(PROBE_INTERVAL).await;
    }
}

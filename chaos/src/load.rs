//! The clients: they submit, note every promise, and try again what was refused.

use crate::{
    api::{Api, Submitted},
    findings::Findings,
    pace::Pace,
    promises::{Promise, Promises},
    rule::Task,
};
use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// How long a client waits after a refusal: shorter than it is told to, as clients are.
const AGAIN: Duration = Duration::from_millis(200);

/// What clients share.
#[derive(Debug)]
pub struct Load {
    /// Where they submit.
    pub api: Api,
    /// What they were promised.
    pub promises: Promises,
    /// What must not have happened.
    pub findings: Findings,
    /// What else they met.
    pub met: Met,
}

/// What became of submits that were no promises.
#[derive(Debug, Default)]
pub struct Met {
    refused: Mutex<BTreeMap<String, u64>>,
    broken: AtomicU64,
}

impl Met {
    /// Honest 503s, by kind.
    #[must_use]
    pub fn refused(&self) -> BTreeMap<String, u64> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Connections that broke.
    #[must_use]
    pub fn broken(&self) -> u64 {
        self.broken.load(Ordering::Relaxed)
    }
}

impl Load {
    /// One client, until the pace ends.
    pub async fn client(&self, pace: &Pace) {
        while let Some(number) = pace.next().await {
            let task = Task::new(number);
            while self.submit(&task).await.is_none() {
                tokio::time::sleep(AGAIN).await;
            }
        }
    }

    /// One submit; the id if it was promised one.
    pub async fn submit(&self, task: &Task) -> Option<String> {
        let asked = Instant::now();
        match self.api.submit(task).await {
            Submitted::Promised(id) => {
                self.promises.note(id.clone(), Promise { number: task.number, asked });
                return Some(id);
            }
            Submitted::Refused(kind) => {
                *self.met.refused.lock().unwrap_or_else(PoisonError::into_inner).entry(kind).or_default() += 1;
            }
            Submitted::Broken => {
                self.met.broken.fetch_add(1, Ordering::Relaxed);
            }
            Submitted::Wrong(why) => self.findings.note(why),
        }
        None
    }
}

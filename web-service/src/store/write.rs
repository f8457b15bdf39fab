//! The writer: gathers what is asked of it and commits it together.

use super::{Job, StoreError, StoreHealth, statements::Transaction};
use crate::record::{Change, Status};
use tokio::sync::mpsc;

/// The most jobs in one write, so that nobody waits for an endless one.
const MAX_JOBS: usize = 1024;

/// What a database is asked to write.
#[derive(Clone, Copy)]
pub(super) enum Write<'a> {
    /// These, in any order.
    Changes(&'a [&'a Change]),
    /// Nothing any more of requests that ended so before a time in microseconds, at most so many of them.
    Forget { status: Status, before: i64, limit: u32 },
    /// This, whole or not at all.
    Transaction(&'a dyn Transaction),
    /// Nothing that stays: whether it could.
    Probe,
}

/// A database that one task writes to.
pub(super) trait Database {
    /// Does it, and returns the number of rows where that is of interest. A connection that fails is opened anew.
    fn write(&mut self, what: Write<'_>) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// Closes it in order.
    fn close(self) -> impl Future<Output = ()> + Send;
}

/// The one task that writes.
pub(super) struct Writer<D> {
    database: D,
    health: StoreHealth,
}

impl<D: Database> Writer<D> {
    pub(super) fn new(database: D, health: StoreHealth) -> Self {
        Self { database, health }
    }

    /// Works until every [`super::Store`] is gone.
    pub(super) async fn work(mut self, mut jobs: mpsc::Receiver<Job>) {
        let mut gathered = Vec::with_capacity(MAX_JOBS);
        while jobs.recv_many(&mut gathered, MAX_JOBS).await > 0 {
            let (mut changes, mut answers) = (Vec::new(), Vec::new());
            for job in gathered.drain(..) {
                match job {
                    Job::Record(more, answer) => {
                        changes.push(more);
                        answers.push(answer);
                    }
                    Job::Forget { status, before, limit, answer } => {
                        let what = Write::Forget { status, before: before.as_microsecond(), limit };
                        // Who no longer waits for an answer does not need it, here and below.
                        let _ = answer.send(self.write(what).await);
                    }
                    Job::Transaction { work, answer } => {
                        let _ = answer.send(self.transact(&*work).await);
                    }
                    Job::Probe { answer } => {
                        let _ = answer.send(self.write(Write::Probe).await.map(|_| ()));
                    }
                }
            }
            if !answers.is_empty() {
                let changes: Vec<_> = changes.iter().flat_map(|more| more.iter()).collect();
                let outcome = self.write(Write::Changes(&changes)).await.map(|_| ());
                for answer in answers {
                    let _ = answer.send(outcome.clone());
                }
            }
        }
        self.database.close().await;
    }

    /// What fails here may be the work's own fault, which is no reason to refuse requests: the next write tells.
    async fn transact(&mut self, work: &dyn Transaction) -> Result<(), StoreError> {
        let outcome = self.database.write(Write::Transaction(work)).await;
        if outcome.is_ok() {
            self.health.note(None);
        }
        outcome.map(drop)
    }

    /// Does it, and notes how that went.
    async fn write(&mut self, what: Write<'_>) -> Result<u64, StoreError> {
        let outcome = self.database.write(what).await;
        self.health.note(outcome.as_ref().err());
        outcome
    }
}

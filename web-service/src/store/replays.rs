//! Replays in the store: asking for one, going on with it, ending it.

mod begin;
mod create;
mod give_up;
mod job;
mod journal;
mod settle;

pub use begin::{Begun, InHand};
pub use create::{Chosen, NewReplay};
pub use journal::{Batch, Found, Granted, Progress};
pub use settle::Round;

use super::{Store, StoreError};
use crate::replay::Job;
use begin::Begin;
use create::{Create, Extent, extent};
use jiff::Timestamp;
use job::{Abandon, Cancel, Defer, Fail, Find, ForgetJobs, Recent, Unfinished};
use settle::Settle;

/// Requests named by `$1`'s items, with the dead letters that they become.
const ITEMS_AND_LETTERS: &str = "replay_items i
    JOIN dead_letters d ON d.request_id = i.request_id AND d.replay = i.replay - 1
    WHERE i.job_id = $1";

impl Store {
    /// Makes a job, with the number of its requests.
    ///
    /// # Errors
    /// [`StoreError::Read`], [`StoreError::Write`], [`StoreError::Postgres`] or [`StoreError::Closed`].
    pub async fn create_replay(&self, replay: NewReplay) -> Result<Job, StoreError> {
        let extent = match &replay.chosen {
            Chosen::Filtered(filter) => extent(&self.reader, filter).await?,
            Chosen::Named(_) | Chosen::Journal(_) => Extent::default(),
        };
        self.transact(Create(replay, extent)).await
    }

    /// The job with this id.
    ///
    /// # Errors
    /// [`StoreError::Read`] or [`StoreError::Postgres`].
    pub async fn find_replay(&self, id: &str) -> Result<Option<Job>, StoreError> {
        self.reader.look(Find(id.to_owned())).await
    }

    /// At most `limit` jobs, newest first.
    ///
    /// # Errors
    /// [`StoreError::Read`] or [`StoreError::Postgres`].
    pub async fn recent_replays(&self, limit: u32) -> Result<Vec<Job>, StoreError> {
        self.reader.look(Recent(limit)).await
    }

    /// Jobs that have not ended, with their sources and rates, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Read`] or [`StoreError::Postgres`].
    pub async fn unfinished_replays(&self) -> Result<Vec<Job>, StoreError> {
        self.reader.look(Unfinished).await
    }

    /// Notes what a job waits for, unless somebody is at work on it.
    ///
    /// # Errors
    /// [`StoreError::Write`], [`StoreError::Postgres`] or [`StoreError::Closed`].
    pub async fn defer_replay(&self, id: &str, waiting_for: String) -> Result<(), StoreError> {
        self.transact(Defer(id.to_owned(), waiting_for)).await
    }

    /// Asks for the end of a job; changes nothing of one that has ended.
    ///
    /// # Errors
    /// [`StoreError::Write`], [`StoreError::Postgres`] or [`StoreError::Closed`].
    pub async fn cancel_replay(&self, id: &str) -> Result<Option<Job>, StoreError> {
        self.transact(Cancel(id.to_owned())).await
    }

    /// Ends a job that cannot go on now, if it was cancelled; whether it was. What it has in hand is a dead letter again, or
    /// ends as failed.
    ///
    /// # Errors
    /// [`StoreError::Write`], [`StoreError::Postgres`] or [`StoreError::Closed`].
    pub async fn abandon_if_cancelled(&self, id: &str) -> Result<bool, StoreError> {
        self.transact(Abandon(id.to_owned())).await
    }

    /// Ends a job that cannot go on. What it has in hand is let go of as if it were cancelled.
    ///
    /// # Errors
    /// [`StoreError::Write`], [`StoreError::Postgres`] or [`StoreError::Closed`].
    pub async fn fail_replay(&self, id: &str, error: String) -> Result<(), StoreError> {
        self.transact(Fail(id.to_owned(), error)).await
    }

    /// Takes at most `limit` requests of a job in hand, for the owner of its lease, which is renewed: those that were
    /// begun before and are not known to be published, else new ones, of which it is noted that they are replayed.
    ///
    /// # Errors
    /// [`StoreError::Write`], [`StoreError::Postgres`] or [`StoreError::Closed`].
    pub async fn begin_replays(&self, job: &str, owner: &str, limit: u32) -> Result<Begun, StoreError> {
        self.transact(Begin { job: job.into(), owner: owner.into(), limit }).await
    }

    /// Notes what became of requests in hand; returns how many are newly known to be on the queue.
    ///
    /// # Errors
    /// [`StoreError::Write`], [`StoreError::Postgres`] or [`StoreError::Closed`].
    pub async fn settle_replays(&self, job: &str, round: Round) -> Result<u64, StoreError> {
        self.transact(Settle { job: job.into(), round }).await
    }

    /// Forgets jobs that ended before a time.
    ///
    /// # Errors
    /// [`StoreError::Write`], [`StoreError::Postgres`] or [`StoreError::Closed`].
    pub async fn forget_replays(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.transact(ForgetJobs(before.as_microsecond())).await
    }
}

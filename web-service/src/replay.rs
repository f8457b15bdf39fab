//! Replays: requests that are put back on the queue, as a job that reports how far it is.
//!
//! A job takes a few requests at a time. It notes in the store that they are replayed, then publishes them, then notes
//! that it did: what a crash leaves between the two is looked at by whoever goes on with the job, and published again, as
//! the same replay, unless it was heard of. So nothing is lost, and a record ends once.

mod pace;
mod runner;
mod sweep;

pub use runner::Runner;
pub use sweep::{DeadLetterQueue, sweep};

use jiff::Timestamp;
use serde::Serialize;

/// The most requests per second that a job can be told to replay.
pub const MOST_PER_SECOND: u32 = 10_000;

/// Where a job's requests come from: requests that were given up.
pub const DEAD_LETTERS: &str = "dead-letters";
/// Or whatever was sent within some time.
pub const JOURNAL: &str = "journal";

/// How far a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum JobStatus {
    /// At work, or about to be.
    Running,
    /// To be ended; requests that may be on the queue already are seen to first, if that can be done now.
    Cancelling,
    /// All of it was looked at.
    Done,
    /// Somebody ended it before.
    Cancelled,
    /// It cannot go on; the error says why.
    Failed,
}

/// Why requests of the journal were not replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SkippedBecause {
    /// Nothing is on record of them: they were refused, or somebody else put them on the queue and they have not ended.
    pub never_accepted: u64,
    /// They have not ended.
    pub in_flight: u64,
    /// They are older than records are kept, so nobody can tell. Counted here even if they are replayed all the same.
    pub forgotten: u64,
}

/// A replay, as the API tells of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Job {
    /// Its id.
    pub job_id: String,
    /// How far it is.
    pub status: JobStatus,
    /// Where its requests come from.
    pub source: String,
    /// What was asked for; absent where each request was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<serde_json::Value>,
    /// How many requests there were to replay when it was asked for; of the journal, how many were read so far.
    pub total: u64,
    /// How many of them are on the queue again.
    pub replayed: u64,
    /// How many needed no replay: they were no longer failed, or are replayed by another job.
    pub skipped: u64,
    /// Why requests of the journal were skipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped_because: Option<SkippedBecause>,
    /// How many could not be replayed: no dead letter of theirs is on record, or the journal has them no longer.
    pub failed: u64,
    /// Requests per second at most.
    pub rate: u32,
    /// When it was asked for.
    pub started_at: Timestamp,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// What it waits for at the moment, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<String>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

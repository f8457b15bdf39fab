//! Requests that were given up, as the API tells of them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use warren_messaging::request_id::RequestId;

/// A request that failed and was not replayed since.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetter {
    /// Its id.
    pub request_id: RequestId,
    /// How often it had been replayed before it failed so.
    pub replays: u32,
    /// After how many attempts.
    pub attempts: u32,
    /// When it was accepted here; absent for a request that somebody else put on the queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub submitted_at: Option<Timestamp>,
    /// When the failure was recorded.
    pub failed_at: Timestamp,
    /// Why it was given up, as a fixed word.
    pub reason: String,
    /// What went wrong last.
    pub message: String,
}

/// Which dead letters; empty for all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Filter {
    /// Only those with this reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Only those that failed then or later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Only those that failed before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// Some dead letters, newest first.
#[derive(Debug)]
pub struct Page {
    /// Without the requests' data.
    pub letters: Vec<DeadLetter>,
    /// Where the next page begins, if there is one.
    pub next: Option<i64>,
}

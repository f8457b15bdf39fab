//! What the web side knows of one request, and what can happen to that knowledge.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::{fmt, str::FromStr};
use warren_messaging::{
    message::{FailureReason, Spare},
    request_id::RequestId,
};

/// How far a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Waiting for a processor.
    Queued,
    /// In work for a second or longer; shorter work is not announced.
    Started,
    /// Failed for now; waiting for its next attempt.
    Retrying,
    /// Done; the result is kept.
    Succeeded,
    /// Given up; the reason is kept.
    Failed,
}

impl Status {
    /// Every status, in the order of a request's life.
    pub const ALL: [Self; 5] = [Self::Queued, Self::Started, Self::Retrying, Self::Succeeded, Self::Failed];

    /// The word that the API and the store use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Started => "started",
            Self::Retrying => "retrying",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
        }
    }

    /// Whether nothing will change any more.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is no status.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no status: it is one of queued, started, retrying, succeeded, failed")]
pub struct UnknownStatus(String);

impl FromStr for Status {
    type Err = UnknownStatus;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|status| status.as_str() == word).ok_or_else(|| UnknownStatus(word.to_owned()))
    }
}

/// What the API tells of a request.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Its id.
    pub request_id: RequestId,
    /// How far it has come.
    pub status: Status,
    /// How often it was replayed after it had failed; the rest is about the newest replay.
    #[serde(skip_serializing_if = "is_zero")]
    pub replays: u32,
    /// When it was accepted here; absent for a request that somebody else put on the queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub submitted_at: Option<Timestamp>,
    /// When it is no longer worth beginning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// When the newest attempt that was heard of began, if that was announced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// The newest attempt that was heard of; 0 before the first.
    pub attempts: u32,
    /// When the next attempt falls due.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<Timestamp>,
    /// When its result or failure was recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// The handler's result, any JSON value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<Box<RawValue>>,
    /// What went wrong last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<RecordedError>,
    /// How it failed before it was replayed, the oldest first; not in lists.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<PastFailure>,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// How a request failed before it was replayed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PastFailure {
    /// In which replay; 0 is before the first.
    pub replay: u32,
    /// After how many attempts.
    pub attempts: u32,
    /// When the failure was recorded.
    pub failed_at: Timestamp,
    /// Why it was given up, as a fixed word.
    pub reason: String,
    /// What went wrong last.
    pub message: String,
}

/// What went wrong with a request.
#[derive(Debug, Serialize)]
pub struct RecordedError {
    /// Why it was given up, as a fixed word; absent while it is still tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// For a person.
    pub message: String,
}

/// Something that was learned of a request. Changes commute: they may be recorded in any order, and any of
/// them twice, with the same record in the end. What is about an older replay than the record changes nothing of it, what
/// is about a newer one replaces what it said.
#[derive(Debug)]
pub struct Change {
    /// Which request.
    pub id: RequestId,
    /// When it was learned.
    pub at: Timestamp,
    /// Of which replay; `None`, as from a processor of another make: of the newest that is known.
    pub replay: Option<u32>,
    /// What.
    pub what: What,
}

/// What was learned.
#[derive(Debug)]
pub enum What {
    /// It was accepted here, and RabbitMQ has it.
    Submitted {
        /// When it is no longer worth beginning.
        deadline: Option<Timestamp>,
    },
    /// An attempt has run for a second.
    Started {
        /// Which, counted from 1.
        attempt: u32,
        /// Since when.
        since: Timestamp,
    },
    /// An attempt failed for now.
    Retrying {
        /// Which, counted from 1.
        attempt: u32,
        /// When the next one falls due.
        next: Timestamp,
        /// What went wrong.
        error: String,
        /// A copy of the request, should it not come back.
        spare: Option<Spare>,
    },
    /// It is done.
    Succeeded {
        /// Which attempt did it.
        attempt: u32,
        /// JSON.
        result: Box<RawValue>,
    },
    /// It was given up.
    Failed {
        /// After which attempt.
        attempt: u32,
        /// Why.
        reason: FailureReason,
        /// What went wrong last.
        error: String,
        /// What a replay of it takes.
        letter: Letter,
    },
}

/// What is kept of a dead letter, so that its request can be replayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// The request's body, as it came.
    pub body: Vec<u8>,
    /// The sender's W3C trace context.
    pub traceparent: Option<String>,
    /// When it is no longer worth beginning.
    pub deadline: Option<Timestamp>,
}

impl Change {
    /// Whether nothing will change after this.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self.what, What::Succeeded { .. } | What::Failed { .. })
    }
}

//! A row as either database gives it, and the record that it stands for.

use crate::record::{Record, RecordedError};
use jiff::Timestamp;
use serde_json::value::RawValue;
use warren_messaging::request_id::RequestId;

/// The columns of [`Row`], without the result, which may be large.
pub(super) const COLUMNS: &str = "seq, id, status, replays, submitted_at, deadline, started_at, attempts, next_attempt_at, finished_at, reason, error";

/// A row of `requests`.
#[derive(sqlx::FromRow)]
pub(super) struct Row {
    pub(super) seq: i64,
    id: String,
    status: String,
    replays: i64,
    submitted_at: Option<i64>,
    deadline: Option<i64>,
    started_at: Option<i64>,
    attempts: i64,
    next_attempt_at: Option<i64>,
    finished_at: Option<i64>,
    #[sqlx(default)]
    result: Option<String>,
    reason: Option<String>,
    error: Option<String>,
}

impl Row {
    /// The record; an error means that Warren did not write the row.
    pub(super) fn record(self) -> sqlx::Result<Record> {
        let reason = self.reason;
        Ok(Record {
            request_id: RequestId::from_json(&self.id).map_err(corrupt)?,
            status: self.status.parse().map_err(corrupt)?,
            replays: self.replays.try_into().map_err(corrupt)?,
            submitted_at: time(self.submitted_at)?,
            deadline: time(self.deadline)?,
            started_at: time(self.started_at)?,
            attempts: self.attempts.try_into().map_err(corrupt)?,
            next_attempt_at: time(self.next_attempt_at)?,
            finished_at: time(self.finished_at)?,
            result: self.result.map(RawValue::from_string).transpose().map_err(corrupt)?,
            error: self.error.map(|message| RecordedError { reason, message }),
            history: Vec::new(),
        })
    }
}

pub(super) fn time(micros: Option<i64>) -> sqlx::Result<Option<Timestamp>> {
    micros.map(Timestamp::from_microsecond).transpose().map_err(corrupt)
}

pub(super) fn corrupt(error: impl std::error::Error + Send + Sync + 'static) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(error))
}

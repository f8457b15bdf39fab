//! Looking requests up.

use super::StoreError;
use crate::record::{Record, RecordedError, Status};
use jiff::Timestamp;
use serde_json::value::RawValue;
use sqlx::{QueryBuilder, Row as _, Sqlite, SqlitePool, sqlite::SqliteRow};
use warren_messaging::request_id::RequestId;

/// Which requests to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filter {
    /// Only those with this status.
    pub status: Option<Status>,
    /// Only those that arrived before this place in the order of arrival: a page's `next`.
    pub before: Option<i64>,
    /// At most this many.
    pub limit: u32,
}

/// Some requests, newest first.
#[derive(Debug)]
pub struct Page {
    /// Without their results.
    pub records: Vec<Record>,
    /// Where the next page begins, if there is one.
    pub next: Option<i64>,
}

const COLUMNS: &str =
    "seq, id, status, submitted_at, started_at, attempts, next_attempt_at, finished_at, reason, error";

pub(super) async fn find(pool: &SqlitePool, id: &RequestId) -> Result<Option<Record>, StoreError> {
    let mut select = QueryBuilder::<Sqlite>::new(format!("SELECT {COLUMNS}, result FROM requests WHERE id = "));
    select.push_bind(id.as_json());
    let row = select.build().fetch_optional(pool).await.map_err(StoreError::read)?;
    let Some(row) = row else { return Ok(None) };
    let found = record(&row).and_then(|record| Ok(Record { result: result(&row)?, ..record }));
    found.map(Some).map_err(StoreError::read)
}

pub(super) async fn list(pool: &SqlitePool, filter: &Filter) -> Result<Page, StoreError> {
    page(pool, filter).await.map_err(StoreError::read)
}

async fn page(pool: &SqlitePool, filter: &Filter) -> sqlx::Result<Page> {
    let mut select = QueryBuilder::<Sqlite>::new(format!("SELECT {COLUMNS} FROM requests WHERE seq < "));
    select.push_bind(filter.before.unwrap_or(i64::MAX));
    if let Some(status) = filter.status {
        select.push(" AND status = ").push_bind(status.as_str());
    }
    // One more than asked for tells whether there is a next page.
    select.push(" ORDER BY seq DESC LIMIT ").push_bind(i64::from(filter.limit) + 1);
    let mut rows = select.build().fetch_all(pool).await?;
    let more = rows.len() > filter.limit as usize;
    rows.truncate(filter.limit as usize);
    let last = rows.last().filter(|_| more);
    Ok(Page {
        next: last.map(|row| row.try_get("seq")).transpose()?,
        records: rows.iter().map(record).collect::<sqlx::Result<_>>()?,
    })
}

fn record(row: &SqliteRow) -> sqlx::Result<Record> {
    let message: Option<String> = row.try_get("error")?;
    let reason: Option<String> = row.try_get("reason")?;
    Ok(Record {
        request_id: RequestId::from_json(row.try_get("id")?).map_err(corrupt)?,
        status: row.try_get::<&str, _>("status")?.parse().map_err(corrupt)?,
        submitted_at: time(row, "submitted_at")?,
        started_at: time(row, "started_at")?,
        attempts: row.try_get("attempts")?,
        next_attempt_at: time(row, "next_attempt_at")?,
        finished_at: time(row, "finished_at")?,
        result: None,
        error: message.map(|message| RecordedError { reason, message }),
    })
}

fn result(row: &SqliteRow) -> sqlx::Result<Option<Box<RawValue>>> {
    let text: Option<String> = row.try_get("result")?;
    text.map(RawValue::from_string).transpose().map_err(corrupt)
}

fn time(row: &SqliteRow, column: &str) -> sqlx::Result<Option<Timestamp>> {
    let micros: Option<i64> = row.try_get(column)?;
    micros.map(Timestamp::from_microsecond).transpose().map_err(corrupt)
}

/// A row that Warren did not write.
fn corrupt(error: impl std::error::Error + Send + Sync + 'static) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(error))
}

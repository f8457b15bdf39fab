//! Reading dead letters: those that can be replayed, and the past ones of a request.

use super::{
    Store, StoreError,
    row::{corrupt, time},
    statements::{Statements, Value, Work},
};
use crate::{
    dead_letter::{DeadLetter, Filter, Page},
    record::PastFailure,
};
use jiff::Timestamp;
use warren_messaging::request_id::RequestId;

/// Dead letters of requests that are failed still, and not about to be replayed: `d`, with their requests `r`. SQLite
/// keeps the order of a CROSS JOIN. Left to itself it would begin with the requests, all that failed, for each page and
/// each few of a replay.
pub(super) const OPEN: &str = "dead_letters d CROSS JOIN requests r
    WHERE r.id = d.request_id AND r.replays = d.replay AND r.status = 'failed' AND d.replayed_at IS NULL";

/// What follows [`OPEN`] for those that a filter names; its values are added to those that there are.
pub(super) fn and_named_by(filter: &Filter, values: &mut Vec<Value>) -> String {
    let mut conditions = String::new();
    let mut and = |condition: &str, value: Option<Value>| {
        if let Some(value) = value {
            values.push(value);
            conditions.push_str(&format!(" AND {condition} ${}", values.len()));
        }
    };
    let micros = |time: Option<Timestamp>| time.map(|time| time.as_microsecond().into());
    and("d.reason =", filter.reason.as_deref().map(Value::from));
    and("d.failed_at >=", micros(filter.since));
    and("d.failed_at <", micros(filter.until));
    conditions
}

struct List {
    filter: Filter,
    before: Option<i64>,
    limit: u32,
}

#[derive(sqlx::FromRow)]
struct Row {
    seq: i64,
    request_id: String,
    replay: i64,
    attempts: i64,
    submitted_at: Option<i64>,
    failed_at: i64,
    reason: String,
    error: String,
}

impl Row {
    fn letter(self) -> sqlx::Result<DeadLetter> {
        Ok(DeadLetter {
            request_id: RequestId::from_json(&self.request_id).map_err(corrupt)?,
            replays: self.replay.try_into().map_err(corrupt)?,
            attempts: self.attempts.try_into().map_err(corrupt)?,
            submitted_at: time(self.submitted_at)?,
            failed_at: Timestamp::from_microsecond(self.failed_at).map_err(corrupt)?,
            reason: self.reason,
            message: self.error,
        })
    }
}

impl List {
    fn statement(&self) -> (String, Vec<Value>) {
        // One more than asked for tells whether there is a next page.
        let mut values = vec![self.before.unwrap_or(i64::MAX).into(), (i64::from(self.limit) + 1).into()];
        let named = and_named_by(&self.filter, &mut values);
        let select = format!(
            "SELECT d.seq, d.request_id, d.replay, d.attempts, r.submitted_at, d.failed_at, d.reason, d.error
             FROM {OPEN} AND d.seq < $1{named} ORDER BY d.seq DESC LIMIT $2"
        );
        (select, values)
    }
}

impl Work for List {
    type Answer = Page;

    async fn run(&self, on: &mut Statements<'_>) -> sqlx::Result<Page> {
        let (select, values) = self.statement();
        let mut rows = on.rows::<Row>(&select, &values).await?;
        let more = rows.len() > self.limit as usize;
        rows.truncate(self.limit as usize);
        let next = rows.last().filter(|_| more).map(|row| row.seq);
        Ok(Page { letters: rows.into_iter().map(Row::letter).collect::<sqlx::Result<_>>()?, next })
    }
}

/// How a request failed before the replay that its record is about.
pub(super) struct History(pub(super) RequestId, pub(super) u32);

impl Work for History {
    type Answer = Vec<PastFailure>;

    async fn run(&self, on: &mut Statements<'_>) -> sqlx::Result<Vec<PastFailure>> {
        let select = "SELECT replay, attempts, failed_at, reason, error FROM dead_letters
                      WHERE request_id = $1 AND replay < $2 ORDER BY replay";
        let values = [self.0.as_json().into(), i64::from(self.1).into()];
        let rows = on.rows::<(i64, i64, i64, String, String)>(select, &values).await?;
        let failure = |(replay, attempts, failed_at, reason, message): (i64, i64, i64, String, String)| {
            Ok(PastFailure {
                replay: replay.try_into().map_err(corrupt)?,
                attempts: attempts.try_into().map_err(corrupt)?,
                failed_at: Timestamp::from_microsecond(failed_at).map_err(corrupt)?,
                reason,
                message,
            })
        };
        rows.into_iter().map(failure).collect()
    }
}

impl Store {
    /// A page of dead letters that can be replayed, newest first, from before a page's `next`.
    ///
    /// # Errors
    /// [`StoreError::Read`] or [`StoreError::Postgres`].
    pub async fn dead_letters(&self, filter: Filter, before: Option<i64>, limit: u32) -> Result<Page, StoreError> {
        self.reader.look(List { filter, before, limit }).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::looks_at_few;

    #[tokio::test]
    async fn a_page_of_dead_letters_costs_no_look_at_all_that_failed() {
        let (at, reason) = (Some(Timestamp::UNIX_EPOCH), Some("rejected".to_owned()));
        for filter in [Filter::default(), Filter { reason, since: at, until: at }] {
            looks_at_few(&List { filter, before: None, limit: 50 }.statement().0).await;
        }
    }
}

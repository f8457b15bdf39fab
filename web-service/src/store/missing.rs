//! Requests that wait for their next attempt and are missed: it is long past, and nothing was heard of them.

use super::{
    Store, StoreError,
    row::corrupt,
    statements::{Statements, Work},
};
use std::time::Duration;
use warren_messaging::{message::Spare, request_id::RequestId};

/// How long after its next attempt fell due a request is missed: its beginning is announced after a second, and what was
/// heard is on record within some more.
const PATIENCE: Duration = Duration::from_secs(60);
/// By how much that grows each time that the request was put back and was not heard of again, as a power of two.
const DOUBLINGS: i64 = 2;
/// The most times that it grows: to 17 hours.
const MOST_GROWTH: i64 = 5;

/// A request that is missed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Missing {
    /// Which.
    pub id: RequestId,
    /// Which replay of it.
    pub replay: u32,
    /// The attempt that failed.
    pub attempt: u32,
    /// Whether there is a copy to be put back.
    pub has_spare: bool,
}

/// By this side's clock: the sender's says only how far it is from one to the other.
pub(super) fn missed_at(heard: i64, next: i64, spare: Option<&Spare>) -> i64 {
    let due = match spare.and_then(|spare| i64::try_from(spare.delay_ms).ok()) {
        Some(delay_ms) => heard.saturating_add(delay_ms.saturating_mul(1000)),
        None => next.max(heard),
    };
    due.saturating_add(micros(PATIENCE))
}

pub(super) fn as_json(spare: &Spare) -> String {
    serde_json::to_string(spare).expect("strings, numbers and times always serialise")
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

struct Find(u32);

const FIND: &str = "SELECT id, replays, attempts, CASE WHEN spare IS NULL THEN 0 ELSE 1 END FROM requests
                    WHERE status = 'retrying' AND missed_at IS NOT NULL AND missed_at < $1 ORDER BY missed_at LIMIT $2";

impl Work for Find {
    type Answer = Vec<Missing>;

    async fn run(&self, on: &mut Statements<'_>) -> sqlx::Result<Vec<Missing>> {
        let now = on.now().await?;
        let rows = on.rows::<(String, i64, i64, i32)>(FIND, &[now.into(), i64::from(self.0).into()]).await?;
        let read = |(id, replay, attempt, has_spare): (String, i64, i64, i32)| {
            let id = RequestId::from_json(&id).map_err(corrupt)?;
            let (replay, attempt) = (replay.try_into().map_err(corrupt)?, attempt.try_into().map_err(corrupt)?);
            Ok(Missing { id, replay, attempt, has_spare: has_spare == 1 })
        };
        rows.into_iter().map(read).collect()
    }
}

/// One that was heard of meanwhile is missed no more.
const STILL_MISSED: &str = "id = $1 AND replays = $2 AND attempts = $3 AND status = 'retrying'";

struct FindSpare(Missing);

impl Work for FindSpare {
    type Answer = Option<Spare>;

    async fn run(&self, on: &mut Statements<'_>) -> sqlx::Result<Option<Spare>> {
        let Missing { id, replay, attempt, .. } = &self.0;
        let values = [id.as_json().into(), i64::from(*replay).into(), i64::from(*attempt).into()];
        let select = format!("SELECT spare FROM requests WHERE {STILL_MISSED}");
        let spare = on.row::<(Option<String>,)>(&select, &values).await?.and_then(|(spare,)| spare);
        spare.map(|spare| serde_json::from_str(&spare).map_err(corrupt)).transpose()
    }
}

struct NotePutBack(Vec<Missing>);

impl Work for NotePutBack {
    type Answer = ();

    async fn run(&self, on: &mut Statements<'_>) -> sqlx::Result<()> {
        let now = on.now().await?;
        let growth = format!("CASE WHEN put_back < {MOST_GROWTH} THEN put_back + 1 ELSE {MOST_GROWTH} END");
        let update = format!(
            "UPDATE requests SET put_back = put_back + 1,
               missed_at = $4 + $5 * (CAST(1 AS BIGINT) << CAST({DOUBLINGS} * ({growth}) AS INTEGER))
             WHERE {STILL_MISSED}"
        );
        for Missing { id, replay, attempt, .. } in &self.0 {
            let named = [id.as_json().into(), i64::from(*replay).into(), i64::from(*attempt).into()];
            let values = [&named[..], &[now.into(), micros(PATIENCE).into()]].concat();
            on.run(&update, &values).await?;
        }
        Ok(())
    }
}

impl Store {
    /// At most `limit` requests that are missed, those first that are so for the longest time.
    ///
    /// # Errors
    /// [`StoreError::Read`] or [`StoreError::Postgres`].
    pub async fn missing(&self, limit: u32) -> Result<Vec<Missing>, StoreError> {
        self.reader.look(Find(limit)).await
    }

    /// The copy of a request, if it is still missed.
    ///
    /// # Errors
    /// [`StoreError::Read`] or [`StoreError::Postgres`].
    pub async fn spare(&self, missing: Missing) -> Result<Option<Spare>, StoreError> {
        self.reader.look(FindSpare(missing)).await
    }

    /// Notes that requests are on the queue again. They are missed again after four times as long as the time before.
    ///
    /// # Errors
    /// [`StoreError::Write`], [`StoreError::Postgres`] or [`StoreError::Closed`].
    pub async fn note_put_back(&self, these: Vec<Missing>) -> Result<(), StoreError> {
        self.transact(NotePutBack(these)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::looks_at_few;

    #[tokio::test]
    async fn a_look_for_what_is_missed_costs_no_look_at_all_that_waits() {
        looks_at_few(FIND).await;
    }

    #[test]
    fn a_request_is_missed_a_minute_after_its_delay_by_this_sides_clock() {
        let spare = Spare { body: String::new(), delay_ms: 4000, traceparent: None, deadline: None };
        assert_eq!(missed_at(1_000_000, 999_000_000, Some(&spare)), 65_000_000);
        assert_eq!(missed_at(1_000_000, 5_000_000, None), 65_000_000);
        assert_eq!(missed_at(5_000_000, 1_000_000, None), 65_000_000);
        assert_eq!(missed_at(i64::MAX, 0, Some(&Spare { delay_ms: u64::MAX, ..spare })), i64::MAX);
    }
}

//! Requests that wait for their next attempt and are missed: it is long past, and nothing was heard of them.

use super::{
    Store, StoreError,
    row::corrupt,
    statements::{Statements, Value, Work},
};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use warren_messaging::{message::Spare, request_id::RequestId};

/// How often the time doubles after which a request is missed again.
const MOST_DOUBLINGS: i64 = 6;
/// The least that it begins with, in microseconds: ten minutes.
const SOONEST: i64 = 600_000_000;

/// A request that is missed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Missing {
    /// Which.
    pub id: RequestId,
    /// Which replay of it.
    pub replay: u32,
    /// The attempt that failed.
    pub attempt: u32,
}

impl Missing {
    /// Not of one that was heard of meanwhile.
    const IS_STILL: &str = "id = $1 AND replays = $2 AND attempts = $3 AND status = 'retrying' AND missed_at < $4";

    fn values(&self, now: i64) -> [Value; 4] {
        [self.id.as_json().into(), i64::from(self.replay).into(), i64::from(self.attempt).into(), now.into()]
    }
}

/// A copy as it is kept. A version that knows of none leaves that of an earlier attempt where it is.
#[derive(Serialize, Deserialize)]
struct Copied<'a> {
    /// The attempt that failed.
    attempt: u32,
    spare: Cow<'a, Spare>,
}

pub(super) fn as_json(attempt: u32, spare: &Spare) -> String {
    let copy = Copied { attempt, spare: Cow::Borrowed(spare) };
    serde_json::to_string(&copy).expect("strings, numbers and times always serialise")
}

pub(super) fn missed_at(heard: i64, spare: &Spare) -> i64 {
    let after = i64::try_from(spare.missed_after_ms).unwrap_or(i64::MAX).saturating_mul(1000);
    heard.saturating_add(after)
}

/// When a request is missed again that is put back now. A foreign sender may think that it is so at once.
fn missed_again_at(now: i64, spare: &Spare, put_back: i64) -> i64 {
    let (after, times) = (missed_at(0, spare).max(SOONEST), 1_i64 << put_back.clamp(0, MOST_DOUBLINGS));
    now.saturating_add(after.saturating_mul(times))
}

struct Find(u32);

const FIND: &str = "SELECT id, replays, attempts FROM requests
                    WHERE status = 'retrying' AND missed_at IS NOT NULL AND missed_at < $1 ORDER BY missed_at LIMIT $2";

impl Work for Find {
    type Answer = Vec<Missing>;

    async fn run(&self, on: &mut Statements<'_>) -> sqlx::Result<Vec<Missing>> {
        let now = on.now().await?;
        let rows = on.rows::<(String, i64, i64)>(FIND, &[now.into(), i64::from(self.0).into()]).await?;
        let read = |(id, replay, attempt): (String, i64, i64)| {
            let id = RequestId::from_json(&id).map_err(corrupt)?;
            Ok(Missing {
                id,
                replay: replay.try_into().map_err(corrupt)?,
                attempt: attempt.try_into().map_err(corrupt)?,
            })
        };
        rows.into_iter().map(read).collect()
    }
}

struct Claim(Missing);

impl Work for Claim {
    type Answer = Option<Spare>;

    async fn run(&self, on: &mut Statements<'_>) -> sqlx::Result<Option<Spare>> {
        let now = on.now().await?;
        let values = self.0.values(now);
        let select = format!("SELECT spare, put_back FROM requests WHERE {}", Missing::IS_STILL);
        let Some((kept, put_back)) = on.row::<(Option<String>, i64)>(&select, &values).await? else { return Ok(None) };
        let kept = kept.and_then(|kept| serde_json::from_str::<Copied<'_>>(&kept).ok());
        let spare = kept.filter(|kept| kept.attempt == self.0.attempt).map(|kept| kept.spare.into_owned());
        let next = spare.as_ref().map(|spare| missed_again_at(now, spare, put_back));
        let update = format!("UPDATE requests SET missed_at = $5, put_back = put_back + 1 WHERE {}", Missing::IS_STILL);
        // None, if another replica was faster.
        let claimed = on.run(&update, &[&values[..], &[next.into()]].concat()).await? > 0;
        Ok(spare.filter(|_| claimed))
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

    /// Takes a missed request in hand, for one replica: its copy, if it is missed still and there is one. It is missed again
    /// after as long a time as before, and after twice as long each time.
    ///
    /// # Errors
    /// [`StoreError::Write`], [`StoreError::Postgres`] or [`StoreError::Closed`].
    pub async fn claim(&self, missing: Missing) -> Result<Option<Spare>, StoreError> {
        self.transact(Claim(missing)).await
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
    fn what_was_put_back_is_missed_again_after_twice_as_long_each_time() {
        let of = |missed_after_ms| {
            let (body, traceparent, deadline) = (String::new(), None, None);
            Spare { body, attempt: 2, missed_after_ms, vanished: 0, traceparent, deadline }
        };
        assert_eq!(missed_at(7, &of(5)), 5007);
        let minutes = |missed_after_ms, put_back| missed_again_at(7, &of(missed_after_ms), put_back) / 60_000_000;
        assert_eq!([0, 1, 2, 6, 7].map(|put_back| minutes(1_200_000, put_back)), [20, 40, 80, 1280, 1280]);
        assert_eq!([0, 1].map(|put_back| minutes(0, put_back)), [10, 20]);
        assert_eq!(missed_again_at(7, &of(u64::MAX), 3), i64::MAX);
    }
}

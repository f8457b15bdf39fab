//! The next requests of a job: noted as replayed first, published by the caller after that.

use super::{ITEMS_AND_LETTERS, job};
use crate::{
    dead_letter::Filter,
    store::{
        dead_letters::{OPEN, and_named_by},
        lease,
        row::{corrupt, time},
        statements::{Statements, Value, Work, places},
    },
};
use warren_messaging::{message::Replayed, request_id::RequestId};

/// How many places of dead letters are looked at in one transaction, though a filter may name none of these: everything
/// else that is written waits behind it.
const LOOKED_AT: i64 = 10_000;

/// What there is to do for a job.
#[derive(Debug)]
pub enum Begun {
    /// Nothing: somebody else has the job.
    Lost,
    /// To publish these, unless they were heard of. None: to ask again.
    Some(Vec<InHand>),
    /// Nothing: it has ended.
    Finished,
}

/// A request that may be published now.
#[derive(Debug)]
pub struct InHand {
    /// Its place in the job.
    pub place: i64,
    /// Whether something of this replay was heard: it was published before a crash.
    pub is_heard: bool,
    /// What to publish; `None` if its dead letter is no longer on record.
    pub request: Option<Replayed>,
}

pub(super) struct Begin {
    pub(super) job: String,
    pub(super) owner: String,
    pub(super) limit: u32,
}

#[derive(sqlx::FromRow)]
struct Row {
    place: i64,
    request_id: String,
    replay: i64,
    body: Option<Vec<u8>>,
    traceparent: Option<String>,
    deadline: Option<i64>,
    heard: i64,
}

impl Row {
    fn in_hand(self) -> sqlx::Result<InHand> {
        let (id, deadline) = (RequestId::from_json(&self.request_id).map_err(corrupt)?, time(self.deadline)?);
        let replay = self.replay.try_into().map_err(corrupt)?;
        let traceparent = self.traceparent;
        let request = self.body.map(|body| Replayed { request_id: id, replay, body, traceparent, deadline });
        Ok(InHand { place: self.place, is_heard: self.heard != 0, request })
    }
}

impl Work for Begin {
    type Answer = Begun;

    async fn run(&self, on: &mut Statements<'_>) -> sqlx::Result<Begun> {
        if !self.renew(on).await? {
            return Ok(Begun::Lost);
        }
        let left = self.in_hand(on).await?;
        if !left.is_empty() {
            return Ok(Begun::Some(left));
        }
        let Some(is_cancelled) = self.hold(on).await? else { return Ok(Begun::Finished) };
        let is_more = if is_cancelled {
            on.run("DELETE FROM replay_items WHERE job_id = $1", &[self.id()]).await?;
            false
        } else {
            self.stage(on).await?
        };
        let chosen = self.chosen(on).await?;
        if chosen.is_empty() && !is_more {
            job::finish(on, &self.job).await?;
            return Ok(Begun::Finished);
        }
        if !chosen.is_empty() {
            self.note(on, &chosen).await?;
        }
        Ok(Begun::Some(self.in_hand(on).await?))
    }
}

impl Begin {
    fn id(&self) -> Value {
        self.job.as_str().into()
    }

    /// Holds the job against others until this is committed.
    async fn renew(&self, on: &mut Statements<'_>) -> sqlx::Result<bool> {
        let now = on.now().await?;
        let renew = "UPDATE leases SET ends_at = $3 WHERE name = $1 AND owner = $2";
        Ok(on.run(renew, &[self.id(), self.owner.as_str().into(), lease::ends(now).into()]).await? > 0)
    }

    /// What may be published and is not known to be. A replay of which an attempt, or a later replay, was heard was.
    async fn in_hand(&self, on: &mut Statements<'_>) -> sqlx::Result<Vec<InHand>> {
        let select = "SELECT i.place, i.request_id, i.replay, d.body, d.traceparent, d.deadline,
                 CAST(CASE WHEN r.replays > i.replay OR (r.replays = i.replay AND r.attempts > 0) THEN 1 ELSE 0 END
                      AS BIGINT) AS heard
             FROM replay_items i
             LEFT JOIN requests r ON r.id = i.request_id
             LEFT JOIN dead_letters d ON d.request_id = i.request_id AND d.replay = i.replay - 1
             WHERE i.job_id = $1 AND i.begun = 1 ORDER BY i.place LIMIT $2";
        let rows = on.rows::<Row>(select, &[self.id(), i64::from(self.limit).into()]).await?;
        rows.into_iter().map(Row::in_hand).collect()
    }

    /// Whether it was cancelled, and cannot be until this is committed; `None` if it has ended.
    async fn hold(&self, on: &mut Statements<'_>) -> sqlx::Result<Option<bool>> {
        let hold = "UPDATE replay_jobs SET cancelled = cancelled WHERE id = $1 AND finished_at IS NULL
                    RETURNING cancelled";
        let held = on.row::<(i64,)>(hold, &[self.id()]).await?;
        Ok(held.map(|(cancelled,)| cancelled != 0))
    }

    /// Makes items of the next dead letters that the filter names, if the job has one; whether there may be more.
    async fn stage(&self, on: &mut Statements<'_>) -> sqlx::Result<bool> {
        let select = "SELECT filter, next_place, last_place FROM replay_jobs WHERE id = $1 AND next_place IS NOT NULL";
        let found = on.row::<(Option<String>, i64, i64)>(select, &[self.id()]).await?;
        let Some((Some(filter), next, last)) = found else { return Ok(false) };
        let filter: Filter = serde_json::from_str(&filter).map_err(corrupt)?;
        let until = last.min(next.saturating_add(LOOKED_AT));
        let mut values = vec![self.id(), next.into(), until.into(), i64::from(self.limit).into()];
        let named = and_named_by(&filter, &mut values);
        let staged = on.rows::<(i64,)>(&staging(&named), &values).await?;
        let next = if staged.len() < self.limit as usize {
            (until < last).then_some(until)
        } else {
            staged.into_iter().map(|(place,)| place).max()
        };
        on.run("UPDATE replay_jobs SET next_place = $2 WHERE id = $1", &[self.id(), next.into()]).await?;
        Ok(next.is_some())
    }

    async fn chosen(&self, on: &mut Statements<'_>) -> sqlx::Result<Vec<i64>> {
        let select = "SELECT place FROM replay_items WHERE job_id = $1 AND begun = 0 ORDER BY place LIMIT $2";
        let rows = on.rows::<(i64,)>(select, &[self.id(), i64::from(self.limit).into()]).await?;
        Ok(rows.into_iter().map(|(place,)| place).collect())
    }

    /// Those of the chosen that are still failed as they were are queued again from here on; the others are let go.
    async fn note(&self, on: &mut Statements<'_>, chosen: &[i64]) -> sqlx::Result<()> {
        let now = on.now().await?;
        let among = format!("i.place IN ({})", places(2, chosen.len()));
        let values: Vec<Value> = std::iter::once(self.id()).chain(chosen.iter().map(|place| (*place).into())).collect();
        let with_now: Vec<Value> = values.iter().cloned().chain([now.into()]).collect();
        let now = values.len() + 1;
        let reopened = on.rows::<(String,)>(&reopening(&among, now), &with_now).await?;
        if !reopened.is_empty() {
            let begin = format!(
                "UPDATE replay_items SET begun = 1 WHERE job_id = $1 AND begun = 0 AND request_id IN ({})",
                places(2, reopened.len())
            );
            let ids = reopened.iter().map(|(id,)| id.as_str().into());
            on.run(&begin, &std::iter::once(self.id()).chain(ids).collect::<Vec<_>>()).await?;
        }
        let date = format!(
            "UPDATE dead_letters SET replayed_at = ${now}
             WHERE seq IN (SELECT d.seq FROM {ITEMS_AND_LETTERS} AND i.begun = 1 AND {among})"
        );
        on.run(&date, &with_now).await?;
        self.let_go(on, &among.replace("i.place", "place"), &values).await
    }

    async fn let_go(&self, on: &mut Statements<'_>, among: &str, values: &[Value]) -> sqlx::Result<()> {
        let delete = format!("DELETE FROM replay_items WHERE job_id = $1 AND begun = 0 AND {among}");
        let skipped = i64::try_from(on.run(&delete, values).await?).map_err(corrupt)?;
        let count = "UPDATE replay_jobs SET skipped = skipped + $2 WHERE id = $1";
        on.run(count, &[self.id(), skipped.into()]).await.map(drop)
    }
}

/// Of `$1` the next `$4` behind `$2`, up to `$3`, that a filter names.
fn staging(named: &str) -> String {
    format!(
        "INSERT INTO replay_items (job_id, place, request_id, replay)
         SELECT $1, d.seq, d.request_id, d.replay + 1 FROM {OPEN} AND d.seq > $2 AND d.seq <= $3{named}
         ORDER BY d.seq LIMIT $4 RETURNING place"
    )
}

/// Of `$1` those items `among` others, at `$now`. What is compared with the status is more than its column, lest SQLite
/// begin with all that failed.
fn reopening(among: &str, now: usize) -> String {
    format!(
        "UPDATE requests SET replays = replays + 1, status = 'queued', attempts = 0, started_at = NULL,
           next_attempt_at = NULL, finished_at = NULL, result = NULL, reason = NULL, error = NULL,
           deadline = CASE WHEN deadline < ${now} THEN NULL ELSE deadline END
         WHERE status || '' = 'failed'
           AND id IN (SELECT i.request_id FROM {ITEMS_AND_LETTERS} AND {among} AND d.body IS NOT NULL)
           AND EXISTS (SELECT 1 FROM replay_items i WHERE i.job_id = $1 AND {among}
                       AND i.request_id = requests.id AND i.replay = requests.replays + 1)
         RETURNING id"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::looks_at_few;

    #[tokio::test]
    async fn a_few_of_a_replay_cost_no_look_at_all_that_failed() {
        looks_at_few(&staging(" AND d.reason = $5 AND d.failed_at >= $6")).await;
        looks_at_few(&reopening("i.place IN ($2, $3)", 4)).await;
    }
}

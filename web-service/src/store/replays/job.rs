//! Jobs as rows.

use super::give_up::{ENDED, give_up};
use crate::{
    replay::{JOURNAL, Job, JobStatus, SkippedBecause},
    store::{
        row::{corrupt, time},
        statements::{Statements, Value, Work},
    },
};
use jiff::Timestamp;

const COLUMNS: &str = "id, source, filter, rate, total, replayed, skipped, failed, started_at, finished_at, cancelled,
    waiting_for, error, never_accepted, in_flight, forgotten";

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    source: String,
    filter: Option<String>,
    rate: i64,
    total: i64,
    replayed: i64,
    skipped: i64,
    failed: i64,
    started_at: i64,
    finished_at: Option<i64>,
    cancelled: i64,
    waiting_for: Option<String>,
    error: Option<String>,
    never_accepted: i64,
    in_flight: i64,
    forgotten: i64,
}

impl Row {
    fn status(&self) -> JobStatus {
        match (self.finished_at.is_some(), &self.error, self.cancelled != 0) {
            (false, _, false) => JobStatus::Running,
            (false, _, true) => JobStatus::Cancelling,
            (true, Some(_), _) => JobStatus::Failed,
            (true, None, false) => JobStatus::Done,
            (true, None, true) => JobStatus::Cancelled,
        }
    }

    fn job(self) -> sqlx::Result<Job> {
        let count = |number: i64| u64::try_from(number).map_err(corrupt);
        let skipped_because = SkippedBecause {
            never_accepted: count(self.never_accepted)?,
            in_flight: count(self.in_flight)?,
            forgotten: count(self.forgotten)?,
        };
        Ok(Job {
            skipped_because: (self.source == JOURNAL).then_some(skipped_because),
            status: self.status(),
            filter: self.filter.as_deref().map(serde_json::from_str).transpose().map_err(corrupt)?,
            job_id: self.id,
            source: self.source,
            total: count(self.total)?,
            replayed: count(self.replayed)?,
            skipped: count(self.skipped)?,
            failed: count(self.failed)?,
            rate: self.rate.try_into().map_err(corrupt)?,
            started_at: Timestamp::from_microsecond(self.started_at).map_err(corrupt)?,
            finished_at: time(self.finished_at)?,
            waiting_for: self.waiting_for,
            error: self.error,
        })
    }
}

async fn jobs(on: &mut Statements<'_>, rest: &str, values: &[Value]) -> sqlx::Result<Vec<Job>> {
    let rows = on.rows::<Row>(&format!("SELECT {COLUMNS} FROM replay_jobs {rest}"), values).await?;
    rows.into_iter().map(Row::job).collect()
}

/// The job with this id.
pub(super) async fn find(on: &mut Statements<'_>, id: &str) -> sqlx::Result<Option<Job>> {
    Ok(jobs(on, "WHERE id = $1", &[id.into()]).await?.pop())
}

pub(super) struct Find(pub(super) String);

impl Work for Find {
    type Answer = Option<Job>;

    async fn run(&self, on: &mut Statements<'_>) -> sqlx::Result<Option<Job>> {
        find(on, &self.0).await
    }
}

pub(super) struct Recent(pub(super) u32);

impl Work for Recent {
    type Answer = Vec<Job>;

    async fn run(&self, on: &mut Statements<'_>) -> sqlx::Result<Vec<Job>> {
        jobs(on, "ORDER BY id DESC LIMIT $1", &[i64::from(self.0).into()]).await
    }
}

pub(super) struct Unfinished;

impl Work for Unfinished {
    type Answer = Vec<Job>;

    async fn run(&self, on: &mut Statements<'_>) -> sqlx::Result<Vec<Job>> {
        jobs(on, "WHERE finished_at IS NULL ORDER BY id", &[]).await
    }
}

/// Notes what a job waits for that nobody is at work on.
pub(super) struct Defer(pub(super) String, pub(super) String);

impl Work for Defer {
    type Answer = ();

    async fn run(&self, on: &mut Statements<'_>) -> sqlx::Result<()> {
        let defer = "UPDATE replay_jobs SET waiting_for = $2 WHERE id = $1 AND finished_at IS NULL
                     AND NOT EXISTS (SELECT 1 FROM leases WHERE name = $1 AND ends_at > $3)";
        let now = on.now().await?;
        on.run(defer, &[self.0.as_str().into(), self.1.as_str().into(), now.into()]).await.map(drop)
    }
}

pub(super) struct Cancel(pub(super) String);

impl Work for Cancel {
    type Answer = Option<Job>;

    async fn run(&self, on: &mut Statements<'_>) -> sqlx::Result<Option<Job>> {
        let cancel = "UPDATE replay_jobs SET cancelled = 1 WHERE id = $1 AND finished_at IS NULL";
        let id = [self.0.as_str().into()];
        // With nothing in hand there is nothing that it would have to wait for.
        let in_hand = "SELECT count(*) FROM replay_items WHERE job_id = $1 AND begun = 1";
        if on.run(cancel, &id).await? > 0 && on.number(in_hand, &id).await? == 0 {
            on.run("DELETE FROM replay_items WHERE job_id = $1", &id).await?;
            finish(on, &self.0).await?;
        }
        find(on, &self.0).await
    }
}

/// Ends a job that was cancelled, without what it has in hand.
pub(super) struct Abandon(pub(super) String);

impl Work for Abandon {
    type Answer = bool;

    async fn run(&self, on: &mut Statements<'_>) -> sqlx::Result<bool> {
        let hold = "UPDATE replay_jobs SET waiting_for = NULL WHERE id = $1 AND finished_at IS NULL AND cancelled = 1";
        let id = [self.0.as_str().into()];
        if on.run(hold, &id).await? == 0 {
            return Ok(false);
        }
        let_go(on, &self.0).await?;
        finish(on, &self.0).await?;
        Ok(true)
    }
}

/// No request of a job that has ended waits for it.
async fn let_go(on: &mut Statements<'_>, job: &str) -> sqlx::Result<()> {
    let id = [job.into()];
    let in_hand = "SELECT place FROM replay_items WHERE job_id = $1 AND begun = 1";
    let places: Vec<i64> = on.rows::<(i64,)>(in_hand, &id).await?.into_iter().map(|(place,)| place).collect();
    give_up(on, job, &places, ENDED).await?;
    on.run("DELETE FROM replay_items WHERE job_id = $1", &id).await.map(drop)
}

pub(super) struct Fail(pub(super) String, pub(super) String);

impl Work for Fail {
    type Answer = ();

    async fn run(&self, on: &mut Statements<'_>) -> sqlx::Result<()> {
        let fail = "UPDATE replay_jobs SET finished_at = $2, waiting_for = NULL, error = $3
                    WHERE id = $1 AND finished_at IS NULL";
        let now = on.now().await?;
        if on.run(fail, &[self.0.as_str().into(), now.into(), self.1.as_str().into()]).await? > 0 {
            let_go(on, &self.0).await?;
        }
        Ok(())
    }
}

/// With what it leaves undone counted as skipped, unless it was cancelled.
pub(super) async fn finish(on: &mut Statements<'_>, id: &str) -> sqlx::Result<()> {
    let now = on.now().await?;
    let finish = "UPDATE replay_jobs SET finished_at = $2, next_place = NULL, waiting_for = NULL,
                    skipped = CASE WHEN cancelled = 1 OR total < replayed + failed THEN skipped
                                   ELSE total - replayed - failed END
                  WHERE id = $1 AND finished_at IS NULL";
    on.run(finish, &[id.into(), now.into()]).await.map(drop)
}

pub(super) struct ForgetJobs(pub(super) i64);

impl Work for ForgetJobs {
    type Answer = u64;

    async fn run(&self, on: &mut Statements<'_>) -> sqlx::Result<u64> {
        on.run("DELETE FROM leases WHERE ends_at < $1", &[self.0.into()]).await?;
        on.run("DELETE FROM replay_jobs WHERE finished_at < $1", &[self.0.into()]).await
    }
}

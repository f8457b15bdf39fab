//! Replays of the journal: which of the requests that were read may be published, noted before they are.

use super::job;
use crate::{
    record::Status,
    store::{
        Store, StoreError, lease,
        row::corrupt,
        statements::{Statements, Value, Work, places},
    },
};
use jiff::Timestamp;
use std::collections::HashMap;
use warren_messaging::request_id::RequestId;

/// Requests that were read from the journal, in its order.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The job.
    pub job: String,
    /// Who has its lease.
    pub owner: String,
    /// Each request once.
    pub found: Vec<Found>,
    /// All before this place was read.
    pub read_to: i64,
    /// Whether that is all.
    pub is_last: bool,
    /// Whether they go to another pipeline: then it does not matter what is on record here.
    pub elsewhere: bool,
    /// Of requests that were sent earlier nobody can tell any more whether they were accepted.
    pub known_since: Timestamp,
    /// Whether those are replayed, too.
    pub include_forgotten: bool,
}

/// A request that was read.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its place.
    pub place: i64,
    /// Which one.
    pub id: RequestId,
    /// When it was sent, if it tells.
    pub published_at: Option<Timestamp>,
}

/// What may be published of a batch.
#[derive(Debug)]
pub enum Granted {
    /// Nothing: somebody else has the job.
    Lost,
    /// Nothing: the job has ended.
    Ended,
    /// These places, each as this replay.
    Some(HashMap<i64, u32>),
}

/// How far a job is in the journal.
#[derive(Debug, Default)]
pub struct Progress {
    /// All before this place was read.
    pub read_to: i64,
    /// By place: which replay it is, and whether something of it was heard.
    pub in_hand: HashMap<i64, (u32, bool)>,
}

impl Store {
    /// How far a job is; `None` if it has ended.
    ///
    /// # Errors
    /// [`StoreError::Read`] or [`StoreError::Postgres`].
    pub async fn journal_progress(&self, job: &str) -> Result<Option<Progress>, StoreError> {
        self.reader.look(Look(job.to_owned())).await
    }

    /// Notes of a batch what is replayed from here on, and what is left out.
    ///
    /// # Errors
    /// [`StoreError::Write`], [`StoreError::Postgres`] or [`StoreError::Closed`].
    pub async fn begin_journal(&self, batch: Batch) -> Result<Granted, StoreError> {
        self.transact(batch).await
    }
}

struct Look(String);

impl Work for Look {
    type Answer = Option<Progress>;

    async fn run(&self, on: &mut Statements<'_>) -> sqlx::Result<Option<Progress>> {
        let id = [self.0.as_str().into()];
        let next = "SELECT coalesce(next_place, 0) FROM replay_jobs WHERE id = $1 AND finished_at IS NULL";
        let Some((read_to,)) = on.row::<(i64,)>(next, &id).await? else { return Ok(None) };
        let items = "SELECT i.place, i.replay,
                 CAST(CASE WHEN i.replay > 0
                           AND (r.replays > i.replay OR (r.replays = i.replay AND r.attempts > 0)) THEN 1 ELSE 0 END
                      AS BIGINT)
             FROM replay_items i LEFT JOIN requests r ON r.id = i.request_id WHERE i.job_id = $1";
        let mut in_hand = HashMap::new();
        for (place, replay, heard) in on.rows::<(i64, i64, i64)>(items, &id).await? {
            in_hand.insert(place, (replay.try_into().map_err(corrupt)?, heard != 0));
        }
        Ok(Some(Progress { read_to, in_hand }))
    }
}

/// What is to become of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Reopen,
    /// Replay it though nothing is on record of it.
    Revive,
    NeverAccepted,
    InFlight,
    Forgotten,
}

impl Batch {
    fn judge(&self, found: &Found, known: Option<Status>) -> Verdict {
        match known {
            Some(Status::Succeeded | Status::Failed) => Verdict::Reopen,
            Some(_) => Verdict::InFlight,
            None if found.published_at.is_some_and(|at| at >= self.known_since) => Verdict::NeverAccepted,
            None if self.include_forgotten => Verdict::Revive,
            None => Verdict::Forgotten,
        }
    }

    fn id(&self) -> Value {
        self.job.as_str().into()
    }
}

impl Work for Batch {
    type Answer = Granted;

    async fn run(&self, on: &mut Statements<'_>) -> sqlx::Result<Granted> {
        let now = on.now().await?;
        let renew = "UPDATE leases SET ends_at = $3 WHERE name = $1 AND owner = $2";
        let ours = [self.id(), self.owner.as_str().into(), lease::ends(now).into()];
        if on.run(renew, &ours).await? == 0 {
            return Ok(Granted::Lost);
        }
        let hold = "UPDATE replay_jobs SET cancelled = cancelled WHERE id = $1 AND finished_at IS NULL
                    RETURNING cancelled, coalesce(next_place, 0)";
        let held = on.row::<(i64, i64)>(hold, &[self.id()]).await?;
        let Some((cancelled, done)) = held else { return Ok(Granted::Ended) };
        if cancelled != 0 {
            // No record waits for what goes to another pipeline.
            on.run("DELETE FROM replay_items WHERE job_id = $1 AND replay = 0", &[self.id()]).await?;
        }
        if cancelled != 0 || (self.is_last && self.found.is_empty()) {
            return self.end(on).await;
        }
        if self.read_to <= done && !self.found.is_empty() {
            // It was committed before, by a connection that was lost.
            return self.granted(on).await.map(Granted::Some);
        }
        self.grant(on, now).await.map(Granted::Some)
    }
}

impl Batch {
    /// What may be on the queue already is seen to before.
    async fn end(&self, on: &mut Statements<'_>) -> sqlx::Result<Granted> {
        if on.number("SELECT count(*) FROM replay_items WHERE job_id = $1", &[self.id()]).await? > 0 {
            return Ok(Granted::Some(HashMap::new()));
        }
        job::finish(on, &self.job).await?;
        Ok(Granted::Ended)
    }

    async fn grant(&self, on: &mut Statements<'_>, now: i64) -> sqlx::Result<HashMap<i64, u32>> {
        let known = if self.elsewhere { HashMap::new() } else { self.known(on).await? };
        let (mut granted, mut counts) = (HashMap::new(), [0_i64; 3]);
        for found in &self.found {
            let verdict = self.judge(found, known.get(found.id.as_json()).copied());
            let replay = match verdict {
                _ if self.elsewhere => Some(0),
                Verdict::Reopen => self.reopen(on, found, now).await?,
                Verdict::Revive => self.revive(on, found).await?,
                _ => None,
            };
            let place = match verdict {
                Verdict::NeverAccepted => Some(0),
                Verdict::InFlight => Some(1),
                Verdict::Forgotten | Verdict::Revive => Some(2),
                // Another job was faster.
                Verdict::Reopen => replay.is_none().then_some(1),
            };
            if let (Some(place), false) = (place, self.elsewhere) {
                counts[place] += 1;
            }
            if let Some(replay) = replay {
                self.note(on, found, replay).await?;
                granted.insert(found.place, u32::try_from(replay).map_err(corrupt)?);
            }
        }
        self.count(on, counts, granted.len()).await?;
        Ok(granted)
    }

    async fn granted(&self, on: &mut Statements<'_>) -> sqlx::Result<HashMap<i64, u32>> {
        let select = "SELECT place, replay FROM replay_items WHERE job_id = $1";
        let rows = on.rows::<(i64, i64)>(select, &[self.id()]).await?;
        rows.into_iter().map(|(place, replay)| Ok((place, replay.try_into().map_err(corrupt)?))).collect()
    }

    async fn known(&self, on: &mut Statements<'_>) -> sqlx::Result<HashMap<String, Status>> {
        if self.found.is_empty() {
            return Ok(HashMap::new());
        }
        let select = format!("SELECT id, status FROM requests WHERE id IN ({})", places(1, self.found.len()));
        let ids: Vec<Value> = self.found.iter().map(|found| found.id.as_json().into()).collect();
        let rows = on.rows::<(String, String)>(&select, &ids).await?;
        rows.into_iter().map(|(id, status)| Ok((id, status.parse().map_err(corrupt)?))).collect()
    }

    /// Which replay it becomes, if it has still ended.
    async fn reopen(&self, on: &mut Statements<'_>, found: &Found, now: i64) -> sqlx::Result<Option<i64>> {
        let reopen = "UPDATE requests SET replays = replays + 1, status = 'queued', attempts = 0, started_at = NULL,
               next_attempt_at = NULL, finished_at = NULL, result = NULL, reason = NULL, error = NULL,
               deadline = CASE WHEN deadline < $2 THEN NULL ELSE deadline END
             WHERE id = $1 AND status IN ('succeeded', 'failed') RETURNING replays";
        let id: Value = found.id.as_json().into();
        let reopened = on.row::<(i64,)>(reopen, &[id.clone(), now.into()]).await?;
        if let Some((replay,)) = reopened {
            let date = "UPDATE dead_letters SET replayed_at = $2 WHERE request_id = $1 AND replay = $3";
            on.run(date, &[id, now.into(), (replay - 1).into()]).await?;
        }
        Ok(reopened.map(|(replay,)| replay))
    }

    /// A record anew. Whatever it was, this is a replay of it.
    async fn revive(&self, on: &mut Statements<'_>, found: &Found) -> sqlx::Result<Option<i64>> {
        let insert = "INSERT INTO requests (id, status, attempts, submitted_at, replays)
             VALUES ($1, 'queued', 0, $2, 1) ON CONFLICT (id) DO NOTHING RETURNING replays";
        let at = found.published_at.map(|at| at.as_microsecond());
        let revived = on.row::<(i64,)>(insert, &[found.id.as_json().into(), at.into()]).await?;
        Ok(revived.map(|(replay,)| replay))
    }

    async fn note(&self, on: &mut Statements<'_>, found: &Found, replay: i64) -> sqlx::Result<()> {
        let insert = "INSERT INTO replay_items (job_id, place, request_id, replay, begun) VALUES ($1, $2, $3, $4, 1)";
        let values = [self.id(), found.place.into(), found.id.as_json().into(), replay.into()];
        on.run(insert, &values).await.map(drop)
    }

    async fn count(&self, on: &mut Statements<'_>, counts: [i64; 3], granted: usize) -> sqlx::Result<()> {
        let update = "UPDATE replay_jobs SET next_place = $2, total = total + $3, skipped = skipped + $4,
               never_accepted = never_accepted + $5, in_flight = in_flight + $6, forgotten = forgotten + $7,
               waiting_for = NULL
             WHERE id = $1";
        let number = |count: usize| i64::try_from(count).map_err(corrupt);
        let (total, granted) = (number(self.found.len())?, number(granted)?);
        let [never_accepted, in_flight, forgotten] = counts.map(Value::from);
        let skipped = total - granted;
        let values =
            [self.id(), self.read_to.into(), total.into(), skipped.into(), never_accepted, in_flight, forgotten];
        on.run(update, &values).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_on_record_and_how_old_it_is_decide() {
        let now = Timestamp::now();
        let hours_ago = |hours: i64| now - jiff::SignedDuration::from_hours(hours);
        let batch = |include_forgotten| Batch {
            job: "j".into(),
            owner: "o".into(),
            found: Vec::new(),
            read_to: 0,
            is_last: false,
            elsewhere: false,
            known_since: hours_ago(24),
            include_forgotten,
        };
        let found = |published_at| Found { place: 1, id: RequestId::from_text("a").expect("is an id"), published_at };
        let judge = |at, known, include| batch(include).judge(&found(at), known);
        assert_eq!(judge(Some(hours_ago(1)), Some(Status::Failed), false), Verdict::Reopen);
        assert_eq!(judge(None, Some(Status::Succeeded), false), Verdict::Reopen);
        assert_eq!(judge(Some(hours_ago(1)), Some(Status::Queued), true), Verdict::InFlight);
        assert_eq!(judge(Some(hours_ago(23)), None, true), Verdict::NeverAccepted);
        assert_eq!(judge(Some(hours_ago(25)), None, false), Verdict::Forgotten);
        assert_eq!(judge(Some(hours_ago(25)), None, true), Verdict::Revive);
        assert_eq!(judge(None, None, false), Verdict::Forgotten);
    }
}

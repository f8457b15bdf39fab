//! Which copies in the dead-letter queue have had their time, since their requests were replayed.

use super::{
    Store, StoreError,
    row::corrupt,
    statements::{Statements, Value, Work, places},
};
use crate::{journal::Wanted, replay::JOURNAL};
use warren_messaging::request_id::RequestId;

/// How often a copy is looked for; somebody may have taken it away by hand.
pub(super) const TRIES: u32 = 6;
/// How many one statement names.
const CHUNK: usize = 500;

/// A dead letter whose request was replayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replaced {
    /// Its place among the dead letters.
    pub seq: i64,
    /// The request.
    pub id: RequestId,
    /// Which replay of it failed.
    pub replay: u32,
}

struct Next(u32);

impl Work for Next {
    type Answer = Vec<Replaced>;

    /// Nothing as long as a job is at work: the queue is gone through once for all of it.
    async fn run(&self, on: &mut Statements<'_>) -> sqlx::Result<Vec<Replaced>> {
        let jobs = "SELECT source, filter FROM replay_jobs WHERE finished_at IS NULL";
        let jobs = on.rows::<(String, Option<String>)>(jobs, &[]).await?;
        if jobs.iter().any(|(source, filter)| !goes_elsewhere(source, filter.as_deref())) {
            return Ok(Vec::new());
        }
        let select = "SELECT seq, request_id, replay FROM dead_letters WHERE sweeps_left > 0 ORDER BY seq LIMIT $1";
        let rows = on.rows::<(i64, String, i64)>(select, &[i64::from(self.0).into()]).await?;
        let read = |(seq, id, replay): (i64, String, i64)| {
            let id = RequestId::from_json(&id).map_err(corrupt)?;
            Ok(Replaced { seq, id, replay: replay.try_into().map_err(corrupt)? })
        };
        rows.into_iter().map(read).collect()
    }
}

/// Whether a job replays into another pipeline, which makes no copy here needless.
fn goes_elsewhere(source: &str, filter: Option<&str>) -> bool {
    let wanted = filter.filter(|_| source == JOURNAL).and_then(|filter| serde_json::from_str::<Wanted>(filter).ok());
    wanted.is_some_and(|wanted| wanted.into.is_some())
}

struct Swept {
    found: Vec<i64>,
    missed: Vec<i64>,
}

impl Work for Swept {
    type Answer = ();

    async fn run(&self, on: &mut Statements<'_>) -> sqlx::Result<()> {
        for (these, left) in [(&self.found, "0"), (&self.missed, "sweeps_left - 1")] {
            for chunk in these.chunks(CHUNK) {
                let update = format!(
                    "UPDATE dead_letters SET sweeps_left = {left} WHERE sweeps_left > 0 AND seq IN ({})",
                    places(1, chunk.len())
                );
                on.run(&update, &chunk.iter().map(|seq| Value::from(*seq)).collect::<Vec<_>>()).await?;
            }
        }
        Ok(())
    }
}

impl Store {
    /// At most `limit` dead letters whose copies may go; none as long as a job is at work that makes more of them.
    ///
    /// # Errors
    /// [`StoreError::Read`] or [`StoreError::Postgres`].
    pub async fn to_sweep(&self, limit: u32) -> Result<Vec<Replaced>, StoreError> {
        self.reader.look(Next(limit)).await
    }

    /// Notes whose copies are gone, and whose were not found.
    ///
    /// # Errors
    /// [`StoreError::Write`], [`StoreError::Postgres`] or [`StoreError::Closed`].
    pub async fn swept(&self, found: Vec<i64>, missed: Vec<i64>) -> Result<(), StoreError> {
        self.transact(Swept { found, missed }).await
    }
}

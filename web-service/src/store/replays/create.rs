//! A new job, and how many requests it has.

use super::job;
use crate::{
    dead_letter::Filter,
    journal::Wanted,
    replay::{DEAD_LETTERS, JOURNAL, Job},
    store::{
        dead_letters::{OPEN, and_named_by},
        row::corrupt,
        statements::{Statements, Value, Work, places},
    },
};
use serde::Serialize;
use std::collections::BTreeSet;
use warren_messaging::request_id::RequestId;

/// How many ids one statement names.
const CHUNK: usize = 500;

/// What somebody wants to have replayed.
#[derive(Clone, Debug)]
pub struct NewReplay {
    /// Of its own.
    pub id: String,
    /// Which requests.
    pub chosen: Chosen,
    /// How many per second at most.
    pub rate: u32,
}

/// Which requests to replay.
#[derive(Clone, Debug)]
pub enum Chosen {
    /// These dead letters.
    Named(BTreeSet<RequestId>),
    /// All dead letters that there are now and that this names.
    Filtered(Filter),
    /// What the journal has of this time.
    Journal(Wanted),
}

pub(super) struct Create(pub(super) NewReplay);

impl Work for Create {
    type Answer = Job;

    async fn run(&self, on: &mut Statements<'_>) -> sqlx::Result<Job> {
        let NewReplay { id, chosen, rate } = &self.0;
        let (filter, total, last) = match chosen {
            Chosen::Named(ids) => (None, i64::try_from(ids.len()).map_err(corrupt)?, None),
            Chosen::Filtered(filter) => {
                let (total, last) = count(on, filter).await?;
                (Some(json(filter)?), total, Some(last))
            }
            // How many these are, reading tells.
            Chosen::Journal(wanted) => (Some(json(wanted)?), 0, None),
        };
        let insert = "INSERT INTO replay_jobs (id, source, filter, rate, total, next_place, last_place, started_at)
                      VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (id) DO NOTHING";
        let next = last.map(|_| 0);
        let now = on.now().await?;
        let source = if matches!(chosen, Chosen::Journal(_)) { JOURNAL } else { DEAD_LETTERS };
        let about = [id.as_str().into(), source.into(), filter.as_deref().into(), i64::from(*rate).into()];
        let places: [Value; 4] = [total.into(), next.into(), last.into(), now.into()];
        let is_new = on.run(insert, &[about, places].concat()).await? > 0;
        if let (true, Chosen::Named(ids)) = (is_new, chosen) {
            choose(on, id, ids).await?;
        }
        job::find(on, id).await?.ok_or(sqlx::Error::RowNotFound)
    }
}

fn json(filter: &impl Serialize) -> sqlx::Result<String> {
    serde_json::to_string(filter).map_err(|error| sqlx::Error::Encode(Box::new(error)))
}

/// How many there are, and where the last of them is: what fails later is not this job's.
async fn count(on: &mut Statements<'_>, filter: &Filter) -> sqlx::Result<(i64, i64)> {
    let mut values = Vec::new();
    let named = and_named_by(filter, &mut values);
    let select = format!("SELECT count(*), coalesce(max(d.seq), 0) FROM {OPEN}{named}");
    on.row(&select, &values).await?.ok_or(sqlx::Error::RowNotFound)
}

/// Named requests become items, or are counted at once: those that are not failed need no replay, of the others nothing
/// is on record.
async fn choose(on: &mut Statements<'_>, job: &str, ids: &BTreeSet<RequestId>) -> sqlx::Result<()> {
    let ids: Vec<&RequestId> = ids.iter().collect();
    for ids in ids.chunks(CHUNK) {
        let values: Vec<Value> = ids.iter().map(|id| id.as_json().into()).collect();
        let with_job: Vec<Value> = std::iter::once(job.into()).chain(values.iter().cloned()).collect();
        let insert = format!(
            "INSERT INTO replay_items (job_id, place, request_id, replay)
             SELECT $1, d.seq, d.request_id, d.replay + 1 FROM {OPEN} AND d.request_id IN ({})",
            places(2, ids.len())
        );
        let chosen = i64::try_from(on.run(&insert, &with_job).await?).map_err(corrupt)?;
        let named = places(1, ids.len());
        let needless = format!("SELECT count(*) FROM requests WHERE status <> 'failed' AND id IN ({named})");
        let skipped = on.number(&needless, &values).await?;
        let failed = i64::try_from(ids.len()).map_err(corrupt)? - chosen - skipped;
        let update = "UPDATE replay_jobs SET skipped = skipped + $2, failed = failed + $3 WHERE id = $1";
        on.run(update, &[job.into(), skipped.into(), failed.into()]).await?;
    }
    Ok(())
}

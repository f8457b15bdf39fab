//! A new job, and how many requests it has.

use super::job;
use crate::{
    dead_letter::Filter,
    journal::Wanted,
    replay::{DEAD_LETTERS, JOURNAL, Job},
    store::{
        Reader, StoreError,
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
/// How many dead letters one statement counts, by their places: however many there are, none takes long.
const COUNTED: i64 = 10_000;

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

/// What a filter names at a moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Extent {
    total: i64,
    /// Where the last of them is: what fails later is not the job's.
    last: i64,
}

/// The extent of a filter. It only reads, so that nobody who writes waits for it: of a large backlog it takes its time.
pub(super) async fn extent(reader: &Reader, filter: &Filter) -> Result<Extent, StoreError> {
    let (first, last) = reader.look(Ends).await?;
    let mut extent = Extent::default();
    for from in (first..=last).step_by(usize::try_from(COUNTED).unwrap_or(1)) {
        let part = reader.look(Part { filter: filter.clone(), from }).await?;
        extent = Extent { total: extent.total + part.total, last: extent.last.max(part.last) };
    }
    Ok(extent)
}

/// The first and the last place at which there may be one.
struct Ends;

impl Work for Ends {
    type Answer = (i64, i64);

    async fn run(&self, on: &mut Statements<'_>) -> sqlx::Result<(i64, i64)> {
        let select = "SELECT coalesce((SELECT min(seq) FROM dead_letters WHERE replayed_at IS NULL), 1),
                             coalesce((SELECT max(seq) FROM dead_letters WHERE replayed_at IS NULL), 0)";
        on.row(select, &[]).await?.ok_or(sqlx::Error::RowNotFound)
    }
}

/// Those from a place on.
struct Part {
    filter: Filter,
    from: i64,
}

impl Work for Part {
    type Answer = Extent;

    async fn run(&self, on: &mut Statements<'_>) -> sqlx::Result<Extent> {
        let mut values = vec![self.from.into(), self.from.saturating_add(COUNTED).into()];
        let named = and_named_by(&self.filter, &mut values);
        let select =
            format!("SELECT count(*), coalesce(max(d.seq), 0) FROM {OPEN} AND d.seq >= $1 AND d.seq < $2{named}");
        let (total, last) = on.row::<(i64, i64)>(&select, &values).await?.ok_or(sqlx::Error::RowNotFound)?;
        Ok(Extent { total, last })
    }
}

/// With the extent of its filter, if it has one.
pub(super) struct Create(pub(super) NewReplay, pub(super) Extent);

impl Work for Create {
    type Answer = Job;

    async fn run(&self, on: &mut Statements<'_>) -> sqlx::Result<Job> {
        let Self(NewReplay { id, chosen, rate }, extent) = self;
        let (filter, total, last) = match chosen {
            Chosen::Named(ids) => (None, i64::try_from(ids.len()).map_err(corrupt)?, None),
            Chosen::Filtered(filter) => (Some(json(filter)?), extent.total, Some(extent.last)),
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

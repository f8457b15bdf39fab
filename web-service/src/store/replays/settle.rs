//! After publishing: what is on the queue for sure.

use super::{
    ITEMS_AND_LETTERS,
    give_up::{GONE, give_up},
};
use crate::store::{
    row::corrupt,
    statements::{Statements, Value, Work, places},
    sweep::TRIES,
};

/// What became of requests in hand. What is in neither list stays in hand.
#[derive(Clone, Debug, Default)]
pub struct Round {
    /// Places of those that are on the queue.
    pub published: Vec<i64>,
    /// Places of those that cannot be published any more; their records end, too.
    pub failed: Vec<i64>,
    /// What the others wait for.
    pub waiting_for: Option<String>,
}

pub(super) struct Settle {
    pub(super) job: String,
    pub(super) round: Round,
}

impl Work for Settle {
    type Answer = u64;

    async fn run(&self, on: &mut Statements<'_>) -> sqlx::Result<u64> {
        let replayed = self.published(on).await?;
        give_up(on, &self.job, &self.round.failed, GONE).await?;
        let failed = self.done_with(on, &self.round.failed).await?;
        let update = "UPDATE replay_jobs SET replayed = replayed + $2, failed = failed + $3, waiting_for = $4
                      WHERE id = $1 AND finished_at IS NULL";
        let values = [self.id(), replayed.into(), failed.into(), self.round.waiting_for.as_deref().into()];
        on.run(update, &values).await?;
        u64::try_from(replayed).map_err(corrupt)
    }
}

impl Settle {
    fn id(&self) -> Value {
        self.job.as_str().into()
    }

    fn values(&self, these: &[i64]) -> Vec<Value> {
        std::iter::once(self.id()).chain(these.iter().map(|place| (*place).into())).collect()
    }

    /// The body is on the queue now, and its copy among the dead letters there is to go.
    async fn published(&self, on: &mut Statements<'_>) -> sqlx::Result<i64> {
        let these = &self.round.published;
        if !these.is_empty() {
            let update = format!(
                "UPDATE dead_letters SET body = NULL, sweeps_left = {TRIES}
                 WHERE seq IN (SELECT d.seq FROM {ITEMS_AND_LETTERS} AND i.begun = 1 AND i.place IN ({}))",
                places(2, these.len())
            );
            on.run(&update, &self.values(these)).await?;
        }
        self.done_with(on, these).await
    }

    /// Returns how many there were: a second time there are none.
    async fn done_with(&self, on: &mut Statements<'_>, these: &[i64]) -> sqlx::Result<i64> {
        if these.is_empty() {
            return Ok(0);
        }
        let delete = format!(
            "DELETE FROM replay_items WHERE job_id = $1 AND begun = 1 AND place IN ({})",
            places(2, these.len())
        );
        i64::try_from(on.run(&delete, &self.values(these)).await?).map_err(corrupt)
    }
}

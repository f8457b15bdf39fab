//! Goes on with the jobs that nobody else is at work on.

mod journal;

use super::{DEAD_LETTERS, JOURNAL, Job, pace::Pace};
use crate::{
    journal::Journal,
    metrics::Metrics,
    store::{Begun, InHand, Round, Store, StoreError},
};
use futures::future::join_all;
use jiff::Timestamp;
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::{
    sync::Notify,
    task::{self, JoinSet},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use warren_messaging::{
    error_chain::Chain,
    publisher::{PublishError, Publisher},
};

/// How often it is looked for jobs that other replicas were asked for, or left behind.
const LOOK: Duration = Duration::from_secs(2);
/// Jobs that one replica works on at a time.
const MOST_JOBS: usize = 4;
/// Requests in hand at a time: as many may be worked on twice after a crash.
const MOST_IN_HAND: u32 = 32;
/// The pauses of a job that cannot go on now: the first, and the longest.
const PAUSES: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(5)];
/// How long after the lease was renewed a message is still sent: well before another replica may take the job.
const SEND_WITHIN: Duration = Duration::from_secs(8);

/// Ids of the jobs at work, by their tasks.
type AtWork = HashMap<task::Id, String>;

/// Works on jobs.
#[derive(Clone)]
pub struct Runner {
    store: Store,
    publisher: Publisher,
    journal: Arc<Journal>,
    metrics: Arc<Metrics>,
    /// This process, in leases.
    owner: Arc<str>,
    /// Told when somebody asked for a job here.
    asked: Arc<Notify>,
}

impl Runner {
    /// Works on nothing yet.
    #[must_use]
    pub fn new(
        store: Store,
        publisher: Publisher,
        journal: Arc<Journal>,
        metrics: Arc<Metrics>,
        asked: Arc<Notify>,
    ) -> Self {
        Self { store, publisher, journal, metrics, owner: uuid::Uuid::now_v7().to_string().into(), asked }
    }

    /// Works until `stop` is cancelled. What is unfinished then goes on here or elsewhere.
    pub async fn run(self, stop: CancellationToken) {
        let (mut tasks, mut at_work) = (JoinSet::new(), AtWork::new());
        while !stop.is_cancelled() {
            if self.store.health().failure().is_none() {
                self.take(&mut tasks, &mut at_work, &stop).await;
            }
            self.metrics.replays_running.set(i64::try_from(at_work.len()).unwrap_or(i64::MAX));
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.asked.notified() => {}
                () = tokio::time::sleep(LOOK) => {}
                Some(ended) = tasks.join_next_with_id(), if !tasks.is_empty() => {
                    let task = ended.map(|(task, ())| task).unwrap_or_else(|error| {
                        tracing::error!(%error, "a replay was ended by a panic");
                        error.id()
                    });
                    at_work.remove(&task);
                }
            }
        }
        while tasks.join_next().await.is_some() {}
    }

    /// Begins to work on jobs that nobody else works on.
    async fn take(&self, tasks: &mut JoinSet<()>, at_work: &mut AtWork, stop: &CancellationToken) {
        let unfinished = self.store.unfinished_replays().await.unwrap_or_else(|error| {
            tracing::debug!("cannot look for replays now: {}", Chain(&error));
            Vec::new()
        });
        for job in unfinished {
            if at_work.values().any(|id| *id == job.job_id) {
                continue;
            }
            if at_work.len() >= MOST_JOBS {
                self.defer(&job).await;
            } else if matches!(self.store.take_lease(&job.job_id, &self.owner).await, Ok(true)) {
                let (runner, stop, id) = (self.clone(), stop.clone(), job.job_id.clone());
                at_work.insert(tasks.spawn(async move { runner.work(job, stop).await }).id(), id);
            }
        }
    }

    /// There is no place for a job here now, which it says, once.
    async fn defer(&self, job: &Job) {
        let what = format!("its turn: a web replica works on {MOST_JOBS} replays at a time");
        if job.waiting_for.as_ref() == Some(&what) {
            return;
        }
        if let Err(error) = self.store.defer_replay(&job.job_id, what).await {
            tracing::debug!("cannot note that a replay waits: {}", Chain(&error));
        }
    }

    /// Works on a job until it ends, is lost, or `stop` is cancelled.
    async fn work(self, job: Job, stop: CancellationToken) {
        if job.source == DEAD_LETTERS {
            tracing::info!(job = job.job_id, total = job.total, rate = job.rate, "replaying");
            self.go_on(&job, &stop).await;
        } else if job.source == JOURNAL {
            tracing::info!(job = job.job_id, rate = job.rate, "replaying the journal");
            self.read_journal(&job, &stop).await;
        } else {
            self.refuse(&job).await;
        }
        if let Err(error) = self.store.release_lease(&job.job_id, &self.owner).await {
            tracing::debug!("the lease of a replay ends by itself: {}", Chain(&error));
        }
    }

    async fn go_on(&self, job: &Job, stop: &CancellationToken) {
        let (mut pace, mut pause) = (Pace::new(job.rate), PAUSES[0]);
        // A tenth of a second's worth, so that little is in hand when the process is killed.
        let limit = (job.rate / 10).clamp(1, MOST_IN_HAND);
        while !stop.is_cancelled() {
            match self.step(&job.job_id, limit, &mut pace, stop).await {
                Ok(Step::Ended) => return,
                Ok(Step::Went) => pause = PAUSES[0],
                Ok(Step::Waits) => pause = rest(pause, stop).await,
                Err(error) => {
                    // Said once in a row.
                    if pause == PAUSES[0] {
                        tracing::warn!(job = job.job_id, "the replay waits for the store: {}", Chain(&error));
                    }
                    pause = rest(pause, stop).await;
                }
            }
        }
    }

    /// One that a newer version may have made.
    async fn refuse(&self, job: &Job) {
        let error =
            format!("this version does not know the source `{}`: ask for the replay with a newer one", job.source);
        if let Err(error) = self.store.fail_replay(&job.job_id, error).await {
            tracing::debug!("cannot end a replay now: {}", Chain(&error));
        }
    }

    /// A few requests of a job.
    async fn step(&self, job: &str, limit: u32, pace: &mut Pace, stop: &CancellationToken) -> Result<Step, StoreError> {
        let state = self.publisher.state();
        if !state.is_ready() {
            if !self.store.take_lease(job, &self.owner).await? {
                return Ok(Step::Ended);
            }
            return self.hindered(job, format!("RabbitMQ: {state}")).await;
        }
        let renewed = Instant::now();
        let in_hand = match self.store.begin_replays(job, &self.owner, limit).await? {
            Begun::Some(in_hand) => in_hand,
            Begun::Finished => {
                tracing::info!(job, "the replay has ended");
                return Ok(Step::Ended);
            }
            Begun::Lost => {
                tracing::info!(job, "another replica goes on with the replay");
                return Ok(Step::Ended);
            }
        };
        let round = self.publish(&self.publisher, in_hand, pace, renewed + SEND_WITHIN, stop).await;
        let waits = round.waiting_for.is_some();
        self.settle(job, round, stop).await;
        if waits { self.waits(job).await } else { Ok(Step::Went) }
    }

    /// A job cannot go on now, and says why.
    async fn hindered(&self, job: &str, what: String) -> Result<Step, StoreError> {
        self.store.settle_replays(job, Round { waiting_for: Some(what), ..Round::default() }).await?;
        self.waits(job).await
    }

    /// One that was cancelled ends instead: nobody knows how long it would have to wait.
    async fn waits(&self, job: &str) -> Result<Step, StoreError> {
        Ok(if self.store.abandon_if_cancelled(job).await? { Step::Ended } else { Step::Waits })
    }

    /// Publishes what nothing was heard of, each in its moment, none after `until`.
    async fn publish(
        &self,
        publisher: &Publisher,
        in_hand: Vec<InHand>,
        pace: &mut Pace,
        until: Instant,
        stop: &CancellationToken,
    ) -> Round {
        let outcomes = in_hand.into_iter().map(|InHand { place, is_heard, request }| {
            let moment = if is_heard { Instant::now() } else { pace.moment(Instant::now()) };
            async move {
                let outcome = match request {
                    _ if is_heard => Outcome::Published,
                    None => Outcome::Failed,
                    Some(_) if stop.run_until_cancelled(tokio::time::sleep_until(moment)).await.is_none() => {
                        Outcome::Left
                    }
                    Some(_) if Instant::now() >= until => Outcome::Left,
                    Some(request) => match publisher.publish(&request.to_message(Timestamp::now())).await {
                        Ok(()) => Outcome::Published,
                        Err(error) => Outcome::Waits(reason(&error)),
                    },
                };
                (place, outcome)
            }
        });
        let mut round = Round::default();
        for (place, outcome) in join_all(outcomes).await {
            match outcome {
                Outcome::Published => round.published.push(place),
                Outcome::Failed => round.failed.push(place),
                Outcome::Waits(reason) => round.waiting_for = Some(reason),
                Outcome::Left => {}
            }
        }
        round
    }

    /// Until it is noted, for what is not noted would be published again.
    async fn settle(&self, job: &str, round: Round, stop: &CancellationToken) {
        loop {
            match self.store.settle_replays(job, round.clone()).await {
                Ok(replayed) => {
                    self.metrics.replayed.inc_by(replayed);
                    return;
                }
                Err(error) => {
                    tracing::debug!(job, "what was replayed is noted as soon as the store works: {}", Chain(&error));
                }
            }
            if stop.run_until_cancelled(tokio::time::sleep(PAUSES[0])).await.is_none() {
                return;
            }
        }
    }
}

/// Pauses; returns the next pause.
async fn rest(pause: Duration, stop: &CancellationToken) -> Duration {
    let _ = stop.run_until_cancelled(tokio::time::sleep(pause)).await;
    (pause * 2).min(PAUSES[1])
}

/// How a step went.
enum Step {
    Went,
    Waits,
    Ended,
}

/// What became of one request in hand.
enum Outcome {
    Published,
    Failed,
    Waits(String),
    Left,
}

/// What a job waits for after this.
fn reason(error: &PublishError) -> String {
    match error {
        PublishError::Full { .. } => "room in the queue: the processors have to catch up first".into(),
        other => Chain(other).to_string(),
    }
}

//! Jobs whose requests come from the journal.
//!
//! The part of the stream is read from its beginning. A request is taken the first time it is met: which those were is
//! kept in memory, so a job that goes on elsewhere, or after a restart, reads what it has done already once more.

mod walk;

use super::{PAUSES, Runner, SEND_WITHIN, Step, rest};
use crate::{
    journal::{Journal, Wanted, exchange_alone},
    replay::{Job, pace::Pace},
    store::{Batch, Granted, InHand, StoreError},
};
use jiff::{SignedDuration, Timestamp};
use std::{collections::HashMap, pin::pin, time::Duration};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use walk::{Taken, Walk};
use warren_messaging::{
    error_chain::Chain,
    journal::{JournalError, Reader},
    message::Report,
    publisher::{Contact, Publisher, PublisherSettings},
};

/// How long RabbitMQ may take to confirm a request to another pipeline.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(5);
/// How often the lease is renewed while there is nothing to be noted: it lasts 15 s.
const RENEW: Duration = Duration::from_secs(4);

/// Why a job does not go on now.
#[derive(Debug, thiserror::Error)]
enum Hindrance {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A job at work.
struct Work<'a> {
    job: &'a Job,
    wanted: Wanted,
    /// To this pipeline, or to another.
    publisher: Publisher,
    walk: Walk,
    pace: Pace,
    stop: &'a CancellationToken,
}

impl Runner {
    /// Works on a job until it ends, is lost, or `stop` is cancelled.
    pub(super) async fn read_journal(&self, job: &Job, stop: &CancellationToken) {
        let wanted = job.filter.clone().and_then(|filter| serde_json::from_value::<Wanted>(filter).ok());
        let Some(wanted) = wanted else { return self.refuse(job).await };
        let (publisher, _until_the_end) = self.publisher_for(&wanted);
        let walk = Walk::new((job.rate / 10).clamp(1, super::MOST_IN_HAND));
        let mut work = Work { job, wanted, publisher, walk, pace: Pace::new(job.rate), stop };
        let mut pause = PAUSES[0];
        while !stop.is_cancelled() {
            match self.pass(&mut work).await {
                Ok(Step::Ended) => return,
                Ok(Step::Went) => pause = PAUSES[0],
                Ok(Step::Waits) => pause = rest(pause, stop).await,
                Err(hindrance) => {
                    let what = Chain(&hindrance).to_string();
                    match self.hindered(&job.job_id, what).await {
                        Ok(Step::Ended) => return,
                        Ok(Step::Went | Step::Waits) => {}
                        Err(error) => tracing::debug!(job = job.job_id, "the store is away, too: {}", Chain(&error)),
                    }
                    pause = rest(pause, stop).await;
                }
            }
        }
    }

    /// The publisher to another pipeline ends with the guard.
    fn publisher_for(&self, wanted: &Wanted) -> (Publisher, Option<DropGuard>) {
        let Some(into) = &wanted.into else { return (self.publisher.clone(), None) };
        let stop = CancellationToken::new();
        let settings = PublisherSettings {
            broker: self.journal.broker.clone(),
            name: format!("{} into {}", self.journal.connection, into.exchange),
            needs: exchange_alone(&into.exchange),
            confirm_timeout: CONFIRM_TIMEOUT,
            contact: Contact::default(),
        };
        let worker = self.journal.connection.clone();
        let (publisher, _) = Publisher::start(settings, move || Report::of_web(&worker, 0), stop.clone());
        (publisher, Some(stop.drop_guard()))
    }

    /// From where the job is until something comes in between.
    async fn pass(&self, work: &mut Work<'_>) -> Result<Step, Hindrance> {
        let state = work.publisher.state();
        if !self.store.take_lease(&work.job.job_id, &self.owner).await? {
            return Ok(Step::Ended);
        }
        if !state.is_ready() {
            return Ok(self.hindered(&work.job.job_id, format!("RabbitMQ: {state}")).await?);
        }
        let Some(progress) = self.store.journal_progress(&work.job.job_id).await? else { return Ok(Step::Ended) };
        let range = work.wanted.range(work.walk.begin(progress));
        let Journal { broker, connection, stream, .. } = &*self.journal;
        let opening = Reader::open(broker, connection, stream, range);
        let Some(opened) = self.renewing(&work.job.job_id, work.stop, opening).await else { return Ok(Step::Ended) };
        let mut reader = opened?;
        if reader.is_at_end() && range.resume_at.is_none() && work.walk.has_some_in_hand() {
            return Err(JournalError::Silent { stream: stream.clone() }.into());
        }
        let ended = self.read(work, &mut reader).await;
        reader.close().await;
        ended
    }

    async fn read(&self, work: &mut Work<'_>, reader: &mut Reader) -> Result<Step, Hindrance> {
        loop {
            let taken = self.renewing(&work.job.job_id, work.stop, work.walk.take(reader)).await;
            let Some(taken) = taken else { return Ok(Step::Ended) };
            let mut taken = taken?;
            let renewed = Instant::now();
            let granted = match self.store.begin_journal(self.batch(work, &taken)).await {
                Err(error) => {
                    work.walk.forget();
                    return Err(error.into());
                }
                Ok(granted) => granted,
            };
            let granted = match granted {
                Granted::Lost | Granted::Ended => return Ok(Step::Ended),
                Granted::Some(granted) => granted,
            };
            let (lost, heard) = (std::mem::take(&mut taken.lost), std::mem::take(&mut taken.heard));
            let is_too_much = taken.is_too_much;
            let in_hand = taken.in_hand(granted);
            let count = in_hand.len() + lost.len() + heard.len();
            let mut round =
                self.publish(&work.publisher, in_hand, &mut work.pace, renewed + SEND_WITHIN, work.stop).await;
            round.failed.extend(lost);
            round.published.extend(heard);
            let (waits, settled) = (round.waiting_for.is_some(), round.published.len() + round.failed.len());
            if count > 0 || waits {
                self.settle(&work.job.job_id, round, work.stop).await;
            }
            if waits {
                return Ok(self.waits(&work.job.job_id).await?);
            }
            if settled < count {
                return Ok(Step::Went);
            }
            if is_too_much {
                self.store.fail_replay(&work.job.job_id, work.walk.too_much()).await?;
                return Ok(Step::Ended);
            }
        }
    }

    /// Does something that may take long, and renews the job's lease meanwhile. `None` if it is lost, or the process wants to
    /// stop.
    async fn renewing<T>(&self, job: &str, stop: &CancellationToken, doing: impl Future<Output = T>) -> Option<T> {
        let mut doing = pin!(doing);
        loop {
            tokio::select! {
                done = &mut doing => return Some(done),
                () = stop.cancelled() => return None,
                () = tokio::time::sleep(RENEW) => {
                    // A store that is away is met again, and told of, when something is to be noted.
                    if matches!(self.store.renew_lease(job, &self.owner).await, Ok(false)) {
                        return None;
                    }
                }
            }
        }
    }

    fn batch(&self, work: &Work<'_>, taken: &Taken) -> Batch {
        let kept = SignedDuration::try_from(self.journal.retention).unwrap_or(SignedDuration::MAX);
        Batch {
            job: work.job.job_id.clone(),
            owner: self.owner.to_string(),
            found: taken.found(),
            read_to: work.walk.read_to(),
            is_last: taken.is_last,
            elsewhere: work.wanted.into.is_some(),
            known_since: Timestamp::now().checked_sub(kept).unwrap_or(Timestamp::MIN),
            include_forgotten: work.wanted.include_forgotten,
        }
    }
}

impl Taken {
    /// What may be published, as the replay that it is.
    fn in_hand(self, granted: HashMap<i64, u32>) -> Vec<InHand> {
        let new = self.new.into_iter().filter_map(|entry| {
            let replay = *granted.get(&entry.place)?;
            Some(InHand { place: entry.place, is_heard: false, request: Some(entry.replayed(replay)) })
        });
        let left = self.left.into_iter().map(|(entry, replay, is_heard)| InHand {
            place: entry.place,
            is_heard,
            request: Some(entry.replayed(replay)),
        });
        left.chain(new).collect()
    }
}

//! The life of one delivery: triage, attempt, settlement, and the actions that follow from it.

use crate::{
    Handler, Work,
    attempt::attempt,
    cordon::Cordon,
    decision::{Action, End, Received, Rules, Settlement, Triage, settle, triage},
    lease::{Lease, Settled},
    publishing::{Publishing, Unpublished, Worth},
    tally::Tally,
};
use jiff::Timestamp;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;
use warren_messaging::{
    duration,
    message::{Event, Progress, Request},
    request_id::RequestId,
};

/// Everything that outlives a connection.
pub(crate) struct Worker<H> {
    pub(crate) handler: H,
    pub(crate) rules: Rules,
    pub(crate) publishing: Publishing,
    pub(crate) tally: Arc<Tally>,
    pub(crate) cordon: Arc<Cordon>,
    /// One permit per request in work. They bound the whole process: work whose delivery was lost goes on, and
    /// keeps its permit.
    pub(crate) slots: Arc<Semaphore>,
    pub(crate) capacity: u16,
    pub(crate) settled: Settled,
    pub(crate) tasks: TaskTracker,
}

impl<H: Handler> Worker<H> {
    /// Whether nothing is in work.
    pub(crate) fn is_idle(&self) -> bool {
        self.slots.available_permits() == usize::from(self.capacity)
    }

    /// Works on a delivery in a task of its own, which keeps `slot` until the delivery is settled.
    pub(crate) fn begin(self: &Arc<Self>, lease: Lease, slot: OwnedSemaphorePermit) {
        let worker = Arc::clone(self);
        self.tasks.spawn(async move {
            worker.work_off(lease).await;
            drop(slot);
        });
    }

    async fn work_off(&self, lease: Lease) {
        let _in_work = self.tally.in_work();
        if self.tally.in_flight() == 1 {
            self.cordon.begun();
        }
        let received = lease.received();
        let (id, settlement) = match triage(received, &self.rules, Timestamp::now()) {
            Triage::Settle { id, settlement } => (id, settlement),
            Triage::Run(request) => {
                let settlement = self.run(&request, &lease, received).await;
                (Some(request.request_id), settlement)
            }
        };
        self.settle(id.as_ref(), settlement, &lease).await;
    }

    async fn settle(&self, id: Option<&RequestId>, mut settlement: Settlement, lease: &Lease) {
        loop {
            log(id, lease, &settlement);
            match (self.perform(&settlement, lease).await, settlement.when_full.take()) {
                (Ok(()), _) => return self.tally.settled(settlement.end),
                (Err(Unpublished::NoRoom), Some(instead)) => settlement = *instead,
                (Err(Unpublished::NoRoom), None) => return lease.give_back().await,
                (Err(Unpublished::Lost), _) => return self.tally.delivery_lost(),
            }
        }
    }

    async fn run(&self, request: &Request<'_>, lease: &Lease, received: Received<'_>) -> Settlement {
        let incoming = lease.incoming();
        let work = Work {
            request_id: &request.request_id,
            attempt: incoming.attempt(),
            data: request.request_data,
            traceparent: incoming.traceparent(),
            deadline: incoming.deadline(),
        };
        let started_at = Timestamp::now();
        let in_handler = self.tally.in_handler();
        let outcome =
            attempt(&self.handler, work, self.rules.timeout, || self.announce(work, incoming.replay(), started_at))
                .await;
        drop(in_handler);
        settle(&request.request_id, received, outcome, &self.rules, Timestamp::now())
    }

    /// Tells that an attempt runs, beside it: a broker that is slow to confirm must not hold up the work.
    fn announce(&self, work: Work<'_>, replay: Option<u32>, started_at: Timestamp) {
        let (request_id, attempt, replay) = (work.request_id.clone(), work.attempt, Some(replay.unwrap_or(0)));
        let event = Event { request_id, attempt, replay, progress: Progress::Started { started_at } };
        let publisher = self.publishing.publisher.clone();
        self.tasks.spawn(async move { publisher.publish(&event.to_message()).await });
    }

    /// Does everything, the ack included.
    async fn perform(&self, settlement: &Settlement, lease: &Lease) -> Result<(), Unpublished> {
        let worth = if settlement.end == End::Done { Worth::Always } else { Worth::WhileLeased };
        for action in &settlement.actions {
            match action {
                Action::Publish(message) => self.publishing.confirmed(message, worth, lease, &self.tally).await?,
                Action::Tell(message) => self.publishing.told(message).await,
                Action::Ack if lease.ack().await => {}
                Action::Ack => return Err(Unpublished::Lost),
            }
        }
        Ok(())
    }
}

/// One line per failed attempt; never what the request says.
fn log(id: Option<&RequestId>, lease: &Lease, settlement: &Settlement) {
    let attempt = lease.incoming().attempt();
    let request_id = id.map(RequestId::as_json).unwrap_or("unknown");
    let error = settlement.error.as_deref().unwrap_or_default();
    match settlement.end {
        End::Done => tracing::debug!(request_id, attempt, "done"),
        End::Retry(delay) => {
            let retry_in = duration::format(delay);
            tracing::warn!(request_id, attempt, error, retry_in, "attempt failed, trying again");
        }
        End::Dead(reason) => {
            tracing::warn!(request_id, attempt, error, %reason, "request given up, to the dead letters");
        }
    }
}

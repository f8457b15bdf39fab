//! What the scaler gets to see.

use super::{World, events::Event, events::PodId};
use rand::RngExt as _;
use std::{collections::BTreeMap, time::Duration};
use warren_scaling::{Observation, Worker};

/// How often a processor reports.
const EVERY: Duration = Duration::from_secs(1);
/// An older report says nothing any more.
const FRESH: Duration = Duration::from_secs(5);
/// How long a report is on its way, at most, in milliseconds.
const LATE: u64 = 50;

/// The last report of each processor, and when it came.
#[derive(Default)]
pub struct Reports(BTreeMap<PodId, (Duration, Worker)>);

impl Reports {
    /// Whether the last word of `pod` was that it has no work.
    pub fn says_idle(&self, pod: PodId) -> bool {
        self.0.get(&pod).is_some_and(|(_, worker)| worker.in_flight == 0)
    }
}

impl World<'_> {
    /// A processor reports, now and each second from now on.
    pub(super) fn report(&mut self, id: PodId) {
        if self.pods.contains_key(&id) {
            self.report_once(id);
            self.after(EVERY, Event::Report(id));
        }
    }

    pub(super) fn report_once(&mut self, id: PodId) {
        let Some(pod) = self.pods.get(&id) else { return };
        let worker = pod.report(id.to_string(), self.now);
        let late = Duration::from_millis(self.rng.random_range(5..=LATE));
        self.after(late, Event::Hear(id, worker));
    }

    pub(super) fn hear(&mut self, id: PodId, worker: Worker) {
        let new = !worker.draining && !self.reports.0.contains_key(&id);
        self.reports.0.insert(id, (self.now, worker));
        if new && self.scaler.is_woken() {
            self.look();
        }
    }

    pub(super) fn observe(&mut self) -> Observation {
        self.reports.0.retain(|_, (at, _)| self.now.saturating_sub(*at) <= FRESH);
        let ready = self.pods.values().filter(|pod| pod.ready && !pod.draining).count();
        Observation {
            at: self.now,
            replicas: self.asked,
            ready: u32::try_from(ready).unwrap_or(u32::MAX),
            waiting: Some(self.broker.queue.len() as u64),
            tiers: Some(self.broker.tiers()),
            workers: self.reports.0.values().map(|(_, worker)| worker.clone()).collect(),
        }
    }
}

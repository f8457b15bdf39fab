//! One pipeline: what was seen of it, what is decided, and that it is carried out.

use super::{
    Scaled, Title, View,
    acting::{Acting, Intent},
    cordon::Cordon,
    fleet::{Change, Replicas},
    metrics::Metrics,
    orders::Orders,
    reports::{News, Reports},
    shown::{HICCUP, Shown},
};
use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio_util::task::TaskTracker;
use warren_messaging::{
    message::{Report, Role},
    topology::depths::Depths,
};
use warren_scaling::{Decision, Memory, Observation, Reason, Tier, Worker, decide};

/// A depth that was read longer ago is not known any more.
const DEPTH_FRESH: Duration = Duration::from_secs(3);
/// Retry tiers fill only while processors run; of others they are read this often.
const TIERS_AT_REST: Duration = Duration::from_secs(15);
/// A queue that was missing is asked for again after this long: each such question costs a channel.
const MISSING_PAUSE: Duration = Duration::from_secs(5);
/// A pipeline that grew so lately may soon be able, or need, to grow further.
const MOVING: Duration = Duration::from_millis(1500);
/// Who was not heard for this long may be unbound.
const HEARD: Duration = Duration::from_secs(5);

/// Everything about one pipeline's number of processors.
pub struct Scaler {
    /// What it is.
    pub scaled: Scaled,
    memory: Memory,
    reports: Reports,
    cordon: Arc<Cordon>,
    heard: Option<Instant>,
    waiting: Option<(Instant, u64)>,
    tiers: Option<(Instant, Vec<Tier>)>,
    missing: Option<Instant>,
    acting: Arc<Acting>,
    /// When a decision was made last.
    pub decided: Option<Instant>,
    shown: Shown,
    grown: Option<Instant>,
}

impl Scaler {
    /// One that has seen nothing yet.
    pub fn new(scaled: Scaled, orders: Arc<Orders>) -> Self {
        Self {
            scaled,
            memory: Memory::default(),
            reports: Reports::default(),
            cordon: Arc::new(Cordon::new(orders)),
            heard: None,
            waiting: None,
            tiers: None,
            missing: None,
            acting: Arc::default(),
            decided: None,
            shown: Shown::default(),
            grown: None,
        }
    }

    /// The queues to ask for at `now`.
    pub fn queues(&self, now: Instant) -> Vec<String> {
        if self.missing.is_some_and(|at| now.duration_since(at) < MISSING_PAUSE) {
            return Vec::new();
        }
        let topology = &self.scaled.topology;
        let mut queues = vec![topology.requests()];
        let works = self.scaled.fleet.replicas().is_some_and(|replicas| replicas.asked > 0);
        if works || self.tiers.as_ref().is_none_or(|(at, _)| now.duration_since(*at) >= TIERS_AT_REST) {
            queues.extend(topology.retry.tiers().into_iter().map(|delay| topology.retry_tier(delay)));
        }
        queues
    }

    /// Takes depths in, of as many of the queues as were asked for.
    pub fn see(&mut self, asked: &BTreeSet<String>, depths: &Depths, now: Instant) {
        let topology = &self.scaled.topology;
        let requests = topology.requests();
        if asked.contains(&requests) {
            self.waiting = depths.get(&requests).map(|waiting| (now, *waiting));
            self.missing = if self.waiting.is_none() { Some(now) } else { None };
        }
        let delays = topology.retry.tiers();
        if delays.iter().all(|delay| asked.contains(&topology.retry_tier(*delay))) {
            // In a tier that does not exist nothing waits.
            let tier = |delay| Tier { delay, waiting: depths.get(&topology.retry_tier(delay)).copied().unwrap_or(0) };
            self.tiers = Some((now, delays.into_iter().map(tier).collect()));
        }
    }

    /// Takes a report in that came from `address`.
    pub fn hear(&mut self, report: Report, address: Option<String>, now: Instant) -> News {
        self.heard = Some(now);
        let (name, is_web) = (report.worker.clone(), report.role == Role::Web);
        let news = self.reports.take(report, address, now);
        if is_web && news == News::Urgent {
            self.cordon.give_up();
        } else if let Some(worker) = self.reports.last(&name).filter(|_| !is_web) {
            self.cordon.hear(worker);
        }
        news
    }

    /// Whether any worker was heard lately.
    pub fn is_heard(&self, now: Instant) -> bool {
        self.heard.is_some_and(|at| now.duration_since(at) <= HEARD)
    }

    /// Whether it is to be looked at more often than by the clock.
    pub fn is_moving(&self, now: Instant) -> bool {
        self.grown.is_some_and(|at| now.duration_since(at) < MOVING)
    }

    /// What can be told of it at `now`.
    pub fn view(&self, now: Instant) -> Option<View> {
        let backlog = self.read_within(DEPTH_FRESH + HICCUP, now);
        Some(View { decision: self.shown.decision()?.clone(), backlog, trouble: self.acting.trouble(now) })
    }

    /// Decides, and begins to carry it out. `at` counts from a fixed moment to `now`.
    pub fn decide(&mut self, now: Instant, at: Duration, metrics: &Arc<Metrics>, tasks: &TaskTracker) {
        self.decided = Some(now);
        let Some(Replicas { asked, ready }) = self.scaled.fleet.replicas() else { return };
        let Some(replicas) = self.acting.replicas(asked, now) else { return };
        let fresh = |read: Instant, limit| now.duration_since(read) <= limit;
        let seen = Observation {
            at,
            replicas,
            ready,
            waiting: self.read_within(DEPTH_FRESH, now),
            tiers: self.tiers.clone().filter(|(read, _)| fresh(*read, 2 * TIERS_AT_REST)).map(|(_, tiers)| tiers),
            workers: self.workers(now),
        };
        let decision = decide(&seen, &self.scaled.policy, &mut self.memory);
        let Title { namespace, name: pipeline } = &self.scaled.title;
        tracing::debug!(namespace, pipeline, ?seen, replicas = decision.replicas, "{}", decision.because);
        metrics.decided(&self.scaled.title, &seen, &decision, &self.memory);
        let (grows, shrinks) = (decision.replicas > replicas, decision.replicas < replicas);
        let acts = grows || shrinks && self.acting.may_shrink(now);
        if acts {
            self.grown = grows.then_some(now);
            let intent = self.intent(&seen, &decision, now);
            tasks.spawn(self.acting.clone().act(intent, metrics.clone()));
        } else if !shrinks && decision.reason != Reason::ScalingDown && !decision.reason.is_blind() {
            // Otherwise fewer are wanted, or may be, in a moment.
            self.acting.settle();
        }
        self.shown.take(decision, acts, now);
    }

    /// How many requests wait, if that was read so lately.
    fn read_within(&self, limit: Duration, now: Instant) -> Option<u64> {
        self.waiting.filter(|(read, _)| now.duration_since(*read) <= limit).map(|(_, waiting)| waiting)
    }

    /// The processors that reported lately. Those that were asked to take nothing, and stay all the same, take some again
    /// within seconds: they are neither ending nor silent.
    fn workers(&mut self, now: Instant) -> Vec<Worker> {
        let mut workers = self.reports.fresh(now);
        for worker in &mut workers {
            worker.draining &= !self.cordon.keeps(&worker.name);
        }
        workers
    }

    fn intent(&self, seen: &Observation, decision: &Decision, decided: Instant) -> Intent {
        let change = self.change(seen, decision);
        let addresses = self.reports.addresses(&change.idle);
        Intent { scaled: self.scaled.clone(), change, addresses, cordon: self.cordon.clone(), decided }
    }

    fn change(&self, seen: &Observation, decision: &Decision) -> Change {
        let grows = decision.replicas > seen.replicas;
        let turns = self.acting.turns(grows) || seen.replicas == 0 || decision.replicas == 0;
        let names = |wanted: &dyn Fn(&Worker) -> bool| {
            seen.workers.iter().filter(|worker| wanted(worker)).map(|worker| worker.name.clone()).collect()
        };
        // Of one that holds already nobody knows for how long it will: its next word counts.
        let is_idle = |worker: &Worker| worker.in_flight == 0 && !worker.draining && !self.cordon.keeps(&worker.name);
        Change {
            from: seen.replicas,
            to: decision.replicas,
            idle: names(&is_idle),
            heard: names(&|_| true),
            starting: seen.starting(),
            because: decision.because.clone(),
            turns,
        }
    }
}

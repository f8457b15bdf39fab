//! A queue, its processors and their cluster, one event after the other, with a scaler that sees of it what it would see.
//!
//! The scaler gets readings of the queues at each look, reports of the processors that are up to a second old, and
//! nothing else; what it asks for is carried out a little later. The same seed gives the same run.

mod broker;
mod cordon;
mod events;
mod pod;
mod replicas;
mod reports;
mod starting;
#[cfg(test)]
mod tests;

use crate::{
    cluster::Cluster,
    record::Record,
    scaler::Scaler,
    trace::{RETRY_DELAYS, Trace},
};
use broker::Broker;
use cordon::Asking;
use events::{Event, Events, PodId};
use pod::Pod;
use rand::{SeedableRng as _, rngs::ChaCha8Rng};
use reports::Reports;
use starting::Starting;
use std::{collections::BTreeMap, time::Duration};

/// From a look until Kubernetes acts on it.
const WRITE: Duration = Duration::from_millis(100);
/// From the first submit at zero until the scaler knows of it.
const WAKE: Duration = Duration::from_millis(20);
/// From a look that is skipped to the next.
const SKIPPED: Duration = Duration::from_secs(1);
/// A run that takes this much longer than its load will never end.
const PATIENCE: Duration = Duration::from_secs(3600);

/// Everything there is.
pub struct World<'a> {
    trace: &'a Trace,
    cluster: Cluster,
    concurrency: u32,
    scaler: Box<dyn Scaler>,
    rng: ChaCha8Rng,
    now: Duration,
    events: Events,
    broker: Broker,
    pods: BTreeMap<PodId, Pod>,
    next_pod: PodId,
    starting: Starting,
    reports: Reports,
    /// Replicas asked for.
    asked: u32,
    /// What is asked of processors before there are fewer.
    asking: Option<Asking>,
    /// Since when each request is in the queue.
    queued: Vec<Duration>,
    /// How many attempts each request has had.
    attempts: Vec<usize>,
    record: Record,
}

/// Runs `trace` in `cluster` under `scaler` until all is done and no replica is left.
pub fn run(trace: &Trace, cluster: Cluster, concurrency: u32, scaler: Box<dyn Scaler>, seed: u64) -> Record {
    let mut world = World::new(trace, cluster, concurrency, scaler, seed);
    let last = trace.messages.last().map_or(Duration::ZERO, |message| message.at);
    while let Some((at, event)) = world.events.pop() {
        world.now = at;
        world.happen(event);
        if world.is_over() || at > last + PATIENCE {
            break;
        }
    }
    world.record
}

impl<'a> World<'a> {
    fn new(trace: &'a Trace, cluster: Cluster, concurrency: u32, scaler: Box<dyn Scaler>, seed: u64) -> Self {
        let mut events = Events::default();
        trace.messages.iter().enumerate().for_each(|(message, it)| events.push(it.at, Event::Submit(message)));
        trace.crashes.iter().for_each(|at| events.push(*at, Event::Crash));
        events.push(scaler.next_look(), Event::Look);
        events.push(Duration::ZERO, Event::Sample);
        let start = vec![(Duration::ZERO, 0)];
        Self {
            trace,
            cluster,
            concurrency,
            scaler,
            rng: ChaCha8Rng::seed_from_u64(seed),
            now: Duration::ZERO,
            events,
            broker: Broker::default(),
            pods: BTreeMap::new(),
            next_pod: 0,
            starting: Starting::new(cluster.cores),
            reports: Reports::default(),
            asked: 0,
            asking: None,
            queued: vec![Duration::ZERO; trace.messages.len()],
            attempts: vec![0; trace.messages.len()],
            record: Record { begin: trace.begin(), asked: start.clone(), pods: start, ..Record::default() },
        }
    }

    fn is_over(&self) -> bool {
        self.record.ended == self.trace.messages.len() && self.asked == 0 && self.pods.is_empty()
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Submit(message) => self.submit(message),
            Event::Due(message, tier) => self.fall_due(message, tier),
            Event::Boot(pod) => self.boot(pod),
            Event::Started(version) => self.started(version),
            Event::Done(pod, message) => self.done(pod, message),
            Event::Report(pod) => self.report(pod),
            Event::Hear(pod, worker) => self.hear(pod, worker),
            Event::Crash => self.crash(),
            Event::Look => {
                self.look();
                // A look that is skipped, since processors are being asked, does not move the scaler's clock.
                let next = self.scaler.next_look();
                self.events.push(if next > self.now { next } else { self.now + SKIPPED }, Event::Look);
            }
            Event::Wake => {
                self.give_up();
                self.look();
            }
            Event::Order => self.order(),
            Event::Answers => self.answers(),
            Event::Reconcile => self.reconcile(),
            Event::Sample => {
                self.record.backlog.push((self.now, self.broker.queue.len()));
                self.after(Duration::from_secs(1), Event::Sample);
            }
        }
    }

    fn after(&mut self, delay: Duration, event: Event) {
        self.events.push(self.now + delay, event);
    }

    fn look(&mut self) {
        if self.asking.is_some() {
            return;
        }
        let seen = self.observe();
        let wanted = self.scaler.look(&seen);
        if wanted < self.asked && self.scaler.spares_the_busy() {
            self.ask(wanted);
        } else if wanted != self.asked {
            self.set(wanted);
        }
    }

    fn set(&mut self, replicas: u32) {
        self.asked = replicas;
        self.record.asked.push((self.now, replicas));
        self.after(WRITE, Event::Reconcile);
    }

    fn submit(&mut self, message: usize) {
        self.enqueue(message);
        if (self.asked == 0 || self.asking.is_some()) && self.scaler.is_woken() {
            self.after(WAKE, Event::Wake);
        }
    }

    fn fall_due(&mut self, message: usize, tier: usize) {
        self.broker.retrying[tier] -= 1;
        self.enqueue(message);
    }

    fn enqueue(&mut self, message: usize) {
        self.queued[message] = self.now;
        self.broker.queue.push_back(message);
        self.deliver();
    }

    /// Each request that waits goes to the next consumer that has room.
    fn deliver(&mut self) {
        while let Some((id, message)) = self.broker.deliver() {
            self.record.waits.push((self.now - self.queued[message]).as_secs_f64());
            self.record.first_in_work.get_or_insert(self.now);
            self.after(self.trace.messages[message].service, Event::Done(id, message));
            self.pods.entry(id).or_default().begin(message, self.now);
        }
    }

    /// An attempt is over, unless its Pod vanished before.
    fn done(&mut self, id: PodId, message: usize) {
        let Some(pod) = self.pods.get_mut(&id) else { return };
        if !pod.end(message, self.now) {
            return;
        }
        let (draining, idle) = (pod.draining, pod.in_work.is_empty());
        self.settle(message);
        match (draining, idle) {
            (true, true) => self.end(id),
            (true, false) => {}
            (false, _) => self.broker.make_room(id),
        }
        self.deliver();
    }

    /// The outcome of an attempt: the end, or a retry.
    fn settle(&mut self, message: usize) {
        let tier = self.attempts[message];
        self.attempts[message] += 1;
        if tier < self.trace.messages[message].failures && tier < RETRY_DELAYS.len() {
            self.broker.retrying[tier] += 1;
            return self.after(RETRY_DELAYS[tier], Event::Due(message, tier));
        }
        self.record.ended += 1;
        self.record.last_done = self.now;
    }
}

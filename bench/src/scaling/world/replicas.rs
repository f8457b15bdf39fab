//! What Kubernetes does with a number of replicas.

use super::{World, events::Event, events::PodId, pod::Pod};
use crate::cluster::SPREAD;
use rand::RngExt as _;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use std::time::Duration;

impl World<'_> {
    /// As many Pods as are asked for; those that were told to stop do not count.
    pub(super) fn reconcile(&mut self) {
        let there = self.pods.values().filter(|pod| !pod.draining).count();
        let asked = self.asked as usize;
        (there..asked).for_each(|_| self.create());
        let victims = if there > asked { self.victims(there - asked) } else { Vec::new() };
        victims.into_iter().for_each(|id| self.stop(id));
        self.release();
    }

    /// Those that are not ready go first, as everywhere. Of the others Kubernetes takes any, or where the scaler marks
    /// some, those that take nothing any more.
    fn victims(&mut self, count: usize) -> Vec<PodId> {
        let mut ids: Vec<_> = self.pods.iter().filter(|(_, pod)| !pod.draining).map(|(id, _)| *id).collect();
        ids.shuffle(&mut self.rng);
        ids.sort_by_key(|id| match &self.pods[id] {
            pod if !pod.ready => 0,
            pod => 1 + u32::from(!pod.holds),
        });
        ids.truncate(count);
        ids
    }

    fn create(&mut self) {
        let id = self.next_pod;
        self.next_pod += 1;
        self.pods.insert(id, Pod::default());
        self.note_pods();
        self.after(self.cluster.wait, Event::Boot(id));
    }

    pub(super) fn boot(&mut self, id: PodId) {
        if self.pods.contains_key(&id) {
            let cpu_seconds = self.cluster.cpu_seconds * self.rng.random_range(SPREAD);
            self.starting.add(id, cpu_seconds, self.now);
            self.foresee();
        }
    }

    pub(super) fn started(&mut self, version: u64) {
        if version != self.starting.version {
            return;
        }
        for id in self.starting.finished(self.now) {
            self.pods.entry(id).or_default().ready = true;
            (0..self.concurrency).for_each(|_| self.broker.make_room(id));
            self.after(Duration::ZERO, Event::Report(id));
        }
        self.foresee();
        self.deliver();
    }

    fn foresee(&mut self) {
        if let Some(at) = self.starting.next() {
            self.events.push(at, Event::Started(self.starting.version));
        }
    }

    /// Told to stop, a Pod without work is gone at once; one that has some finishes it, or drops it.
    fn stop(&mut self, id: PodId) {
        let Some(pod) = self.pods.get_mut(&id) else { return };
        let busy = !pod.in_work.is_empty();
        pod.draining = true;
        self.broker.cancel(id);
        self.record.busy_kills += u32::from(busy);
        match (busy, self.cluster.drains) {
            (true, true) => self.report_once(id),
            (true, false) => self.vanish(id),
            (false, _) => self.end(id),
        }
    }

    /// A Pod goes, and says so.
    pub(super) fn end(&mut self, id: PodId) {
        if self.pods.get(&id).is_some_and(|pod| pod.ready) {
            self.report_once(id);
        }
        self.remove(id);
    }

    /// A Pod at work is gone without a word, and another one takes its place.
    pub(super) fn crash(&mut self) {
        let ready: Vec<_> = self.pods.iter().filter(|(_, pod)| pod.ready).map(|(id, _)| *id).collect();
        if let Some(id) = ready.choose(&mut self.rng) {
            self.vanish(*id);
            self.reconcile();
        }
    }

    /// What it had goes back to where it was in the queue, and is delivered once more.
    fn vanish(&mut self, id: PodId) {
        self.broker.cancel(id);
        let Some(pod) = self.remove(id) else { return };
        for (message, _) in pod.in_work {
            self.queued[message] = self.now;
            self.broker.queue.push_front(message);
            self.record.redelivered += 1;
        }
        self.deliver();
    }

    fn remove(&mut self, id: PodId) -> Option<Pod> {
        self.starting.remove(id, self.now);
        self.foresee();
        let pod = self.pods.remove(&id);
        self.note_pods();
        pod
    }

    fn note_pods(&mut self) {
        let pods = u32::try_from(self.pods.len()).unwrap_or(u32::MAX);
        self.record.pods.push((self.now, pods));
    }
}

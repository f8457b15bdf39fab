//! What will happen, in the order of time.

use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};
use warren_scaling::Worker;

/// Names a Pod for good.
pub type PodId = u64;

/// What happens at one moment.
#[derive(Clone, Debug)]
pub enum Event {
    /// A request is submitted.
    Submit(usize),
    /// A request has waited out its retry delay, in this tier.
    Due(usize, usize),
    /// A Pod has what it needs and now takes a core to start.
    Boot(PodId),
    /// The next Pod is ready, unless others have come or gone since this was foreseen.
    Started(u64),
    /// A Pod is done with a request.
    Done(PodId, usize),
    /// A Pod says how it is.
    Report(PodId),
    /// The scaler gets to know it.
    Hear(PodId, Worker),
    /// A Pod at work vanishes.
    Crash,
    /// The scaler's own clock.
    Look,
    /// The scaler is told of something that cannot wait.
    Wake,
    /// Processors get the order to take nothing more.
    Order,
    /// What they answer is known.
    Answers,
    /// Kubernetes acts on the number of replicas.
    Reconcile,
    /// Figures are noted for the plot.
    Sample,
}

/// What will happen, in the order of time, and at the same moment in the order in which it was foreseen.
#[derive(Default)]
pub struct Events {
    heap: BinaryHeap<Reverse<(Duration, u64)>>,
    what: std::collections::HashMap<u64, Event>,
    count: u64,
}

impl Events {
    /// `event` happens at `at`.
    pub fn push(&mut self, at: Duration, event: Event) {
        self.heap.push(Reverse((at, self.count)));
        self.what.insert(self.count, event);
        self.count += 1;
    }

    /// The next one.
    pub fn pop(&mut self) -> Option<(Duration, Event)> {
        let Reverse((at, number)) = self.heap.pop()?;
        Some((at, self.what.remove(&number)?))
    }
}

//! Somebody who sets one number when the first request comes, and zero when all is done.

use super::Scaler;
use std::time::Duration;
use warren_scaling::Observation;

/// How often that somebody looks.
const EVERY: Duration = Duration::from_millis(50);

/// So many replicas as long as there is anything to do.
pub struct Fixed {
    replicas: u32,
    next: Duration,
    begun: bool,
}

impl Fixed {
    /// From the first request on.
    pub fn new(replicas: u32) -> Self {
        Self { replicas, next: Duration::ZERO, begun: false }
    }
}

impl Scaler for Fixed {
    fn look(&mut self, seen: &Observation) -> u32 {
        self.next = seen.at + EVERY;
        let retrying: u64 = seen.tiers.iter().flatten().map(|tier| tier.waiting).sum();
        let rest = seen.waiting.unwrap_or_default() + retrying + seen.in_work();
        // Before anybody reports nobody seems to work.
        let unknown = seen.workers.iter().all(|worker| worker.processed_total == 0);
        self.begun |= rest > 0;
        if self.begun && (rest > 0 || unknown) { self.replicas } else { 0 }
    }

    fn next_look(&self) -> Duration {
        self.next
    }
}

//! A processor's Pod.

use std::time::Duration;
use warren_scaling::Worker;

/// A processor's Pod, from its creation to its end.
#[derive(Clone, Debug, Default)]
pub struct Pod {
    /// Whether it takes requests, or still starts.
    pub ready: bool,
    /// Whether it was told to stop.
    pub draining: bool,
    /// Whether it takes nothing, as it was asked to.
    pub holds: bool,
    /// The requests that it works on, and since when.
    pub in_work: Vec<(usize, Duration)>,
    processed: u64,
    busy: Duration,
}

impl Pod {
    /// Begins a request at `at`.
    pub fn begin(&mut self, message: usize, at: Duration) {
        self.in_work.push((message, at));
    }

    /// Ends a request at `at`; false when this Pod does not have it.
    pub fn end(&mut self, message: usize, at: Duration) -> bool {
        let Some(place) = self.in_work.iter().position(|(held, _)| *held == message) else { return false };
        let (_, since) = self.in_work.swap_remove(place);
        self.busy += at.saturating_sub(since);
        self.processed += 1;
        true
    }

    /// What it says of itself at `at`.
    pub fn report(&self, name: String, at: Duration) -> Worker {
        let running: Duration = self.in_work.iter().map(|(_, since)| at.saturating_sub(*since)).sum();
        Worker {
            name,
            in_flight: self.in_work.len() as u64,
            processed_total: self.processed,
            busy_seconds_total: (self.busy + running).as_secs_f64(),
            draining: self.draining,
        }
    }
}

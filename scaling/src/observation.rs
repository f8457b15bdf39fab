//! What is seen of a pipeline at one moment.

use std::time::Duration;

/// What is seen of a pipeline at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observation {
    /// When, counted from any fixed moment; it never goes back.
    pub at: Duration,
    /// How many replicas are asked for now, whoever asked.
    pub replicas: u32,
    /// How many of them are said to be ready to work (a Deployment's `readyReplicas`).
    pub ready: u32,
    /// Requests that wait in the request queue; `None` when that is not known.
    pub waiting: Option<u64>,
    /// Requests that wait out a retry delay; `None` when that is not known.
    pub tiers: Option<Vec<Tier>>,
    /// The processors' own reports, only those that are fresh.
    pub workers: Vec<Worker>,
}

/// A retry queue: its requests fall due in the order in which they came, each after the same delay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tier {
    /// How long each of them waits.
    pub delay: Duration,
    /// How many wait.
    pub waiting: u64,
}

/// What a processor says of itself. Counters are cumulative since its start.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Worker {
    /// Its name, another one after each start.
    pub name: String,
    /// Requests in work.
    pub in_flight: u64,
    /// Requests that left it with an outcome.
    pub processed_total: u64,
    /// Seconds in handlers, summed over requests, those that still run included.
    pub busy_seconds_total: f64,
    /// Whether it was asked to end: it finishes what it has, takes nothing more, and is no replica any longer.
    pub draining: bool,
}

impl Observation {
    /// Requests in work, those of ending processors included.
    #[must_use]
    pub fn in_work(&self) -> u64 {
        self.workers.iter().fold(0, |sum, worker| sum.saturating_add(worker.in_flight))
    }

    /// Replicas that report and take work.
    #[must_use]
    pub fn live(&self) -> u32 {
        count(self.workers.iter().filter(|worker| !worker.draining).count())
    }

    /// Of those, the ones that have work.
    #[must_use]
    pub fn busy(&self) -> u32 {
        count(self.workers.iter().filter(|worker| !worker.draining && worker.in_flight > 0).count())
    }

    /// Replicas that neither report nor are ready: they have not started, as far as anybody knows.
    #[must_use]
    pub fn starting(&self) -> u32 {
        self.replicas.saturating_sub(self.ready.max(self.live()))
    }

    /// Replicas that are ready and do not report: nobody knows whether they have work.
    #[must_use]
    pub fn silent(&self) -> u32 {
        self.ready.min(self.replicas).saturating_sub(self.live())
    }
}

fn count(of: usize) -> u32 {
    u32::try_from(of).unwrap_or(u32::MAX)
}

//! How much comes in and how long it takes, estimated from what is seen.

use crate::{Observation, Worker};
use std::{collections::HashMap, time::Duration};

/// The arrival rate forgets half of what it knew in this time: a change shows within seconds, one odd second does not.
const RATE_HALF_LIFE: f64 = 5.0;
/// The service time forgets half of what it knew in this much time of work.
const SERVICE_HALF_LIFE: f64 = 60.0;

/// Estimates of the load.
#[derive(Clone, Debug, Default)]
pub struct Load {
    /// The last look: when, how many waited, how many were in work.
    last: Option<(Duration, Option<u64>, u64)>,
    /// Each worker's counters as they were last seen: outcomes, and seconds in handlers.
    workers: HashMap<String, (u64, f64)>,
    /// Requests per second.
    arrivals: f64,
    /// Requests per second.
    completions: f64,
    /// Handler seconds, fading.
    busy: f64,
    /// Outcomes, fading alike.
    done: f64,
}

impl Load {
    /// Takes an observation in. Whether any request ended since the last one.
    pub fn learn(&mut self, seen: &Observation) -> bool {
        let now = (seen.at, seen.waiting, seen.in_work());
        let Some((at, waiting, in_work)) = self.last else {
            self.last = Some(now);
            self.workers = seen.workers.iter().map(|worker| (worker.name.clone(), counters(worker))).collect();
            return false;
        };
        let elapsed = seen.at.saturating_sub(at).as_secs_f64();
        if elapsed <= 0.0 {
            return false;
        }
        let (done, busy) = self.progress(&seen.workers);
        self.learn_service(done, busy, elapsed);
        self.learn_rates(done, waiting.zip(seen.waiting), (in_work, now.2), elapsed);
        self.last = Some(now);
        done > 0.0
    }

    /// What all workers together did since they were last seen. A counter that went back belongs to a process that
    /// started anew under an old name: all that it shows is new. Of one that was never seen nobody knows since when it
    /// counts: it may be new to this process only.
    fn progress(&mut self, workers: &[Worker]) -> (f64, f64) {
        let mut sums = (0.0, 0.0);
        for worker in workers {
            let (processed, busy) = counters(worker);
            let before = self.workers.insert(worker.name.clone(), (processed, busy));
            let Some(before) = before else { continue };
            let (earlier, busy_before) = if before.0 <= processed { before } else { (0, 0.0) };
            sums.0 += to_f64(processed - earlier);
            sums.1 += (busy - busy_before).max(0.0);
        }
        // Whoever misses a report is no new one when the next comes; whoever is long gone need not be remembered.
        if self.workers.len() > 2 * workers.len() + 16 {
            self.workers.retain(|name, _| workers.iter().any(|worker| worker.name == *name));
        }
        sums
    }

    fn learn_service(&mut self, done: f64, busy: f64, elapsed: f64) {
        // While nobody works there is nothing to learn, and nothing to forget.
        if busy > 0.0 || done > 0.0 {
            let kept = fading(elapsed, SERVICE_HALF_LIFE);
            self.busy = self.busy * kept + busy;
            self.done = self.done * kept + done;
        }
    }

    fn learn_rates(&mut self, done: f64, waiting: Option<(u64, u64)>, in_work: (u64, u64), elapsed: f64) {
        let kept = fading(elapsed, RATE_HALF_LIFE);
        self.completions = self.completions * kept + (done / elapsed) * (1.0 - kept);
        // What came is what is there more, and what has gone.
        let Some((waiting_before, waiting_after)) = waiting else { return };
        let came = difference(waiting_before, waiting_after) + difference(in_work.0, in_work.1) + done;
        self.arrivals = self.arrivals * kept + (came / elapsed) * (1.0 - kept);
    }

    /// Requests that come per second.
    #[must_use]
    pub fn arrivals(&self) -> f64 {
        self.arrivals.max(0.0)
    }

    /// Requests that end per second.
    #[must_use]
    pub fn completions(&self) -> f64 {
        self.completions.max(0.0)
    }

    /// Mean seconds in the handler; `None` as long as nothing was worked on. Of work that still runs, half is assumed
    /// to be done: without any outcome this is a lower bound that grows as the work does.
    #[must_use]
    pub fn service_seconds(&self) -> Option<f64> {
        let in_work = self.last.map_or(0, |(_, _, in_work)| in_work);
        let pieces = self.done + to_f64(in_work) / 2.0;
        (self.busy > 0.0 && pieces > 0.0).then(|| self.busy / pieces)
    }
}

fn counters(worker: &Worker) -> (u64, f64) {
    let busy = worker.busy_seconds_total;
    (worker.processed_total, if busy.is_finite() { busy.max(0.0) } else { 0.0 })
}

fn fading(elapsed: f64, half_life: f64) -> f64 {
    0.5_f64.powf(elapsed / half_life)
}

fn difference(before: u64, after: u64) -> f64 {
    to_f64(after) - to_f64(before)
}

/// Exact up to 2^53, and no estimate needs more.
#[expect(clippy::cast_precision_loss, reason = "figures of an estimate")]
pub(crate) fn to_f64(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(processed_total: u64, busy_seconds_total: f64, in_flight: u64) -> Worker {
        Worker { name: "a".into(), processed_total, busy_seconds_total, in_flight, draining: false }
    }

    fn at(second: u64, waiting: u64, worker: Worker) -> Observation {
        let at = Duration::from_secs(second);
        Observation { at, waiting: Some(waiting), workers: vec![worker], ..Observation::default() }
    }

    #[test]
    fn steady_work_is_measured_as_it_is() {
        let mut load = Load::default();
        for second in 0..60 {
            load.learn(&at(second, 7, worker(second * 4, second as f64 * 2.0, 2)));
        }
        assert!((load.arrivals() - 4.0).abs() < 0.1, "{}", load.arrivals());
        assert!((load.completions() - 4.0).abs() < 0.1, "{}", load.completions());
        let service = load.service_seconds().expect("known");
        assert!((service - 0.5).abs() < 0.02, "{service}");
    }

    #[test]
    fn a_long_attempt_shows_before_it_ends_and_a_rest_teaches_nothing() {
        let mut load = Load::default();
        assert_eq!(load.service_seconds(), None);
        for second in 0..=30 {
            load.learn(&at(second, 0, worker(0, second as f64, 1)));
        }
        let bound = load.service_seconds().expect("known");
        assert!(bound > 20.0, "{bound}");
        for second in 31..1000 {
            load.learn(&at(second, 0, worker(1, 30.0, 0)));
        }
        assert!(load.service_seconds().expect("is remembered") > 15.0);
        assert!(load.arrivals() < 0.001);
    }

    #[test]
    fn what_a_worker_did_before_it_was_first_seen_is_no_load_of_now() {
        let mut load = Load::default();
        load.learn(&Observation::default());
        for second in 1..10 {
            load.learn(&at(second, 0, worker(10_000 + second, 5_000.0, 0)));
        }
        assert!(load.arrivals() < 1.1, "one per second, not {}", load.arrivals());
    }

    #[test]
    fn a_worker_that_starts_anew_or_reports_nonsense_does_not_spoil_the_estimates() {
        let mut load = Load::default();
        load.learn(&at(0, 0, worker(1000, 500.0, 1)));
        load.learn(&at(1, 0, worker(1002, 501.0, 1)));
        load.learn(&at(2, 0, worker(1, 0.5, 1)));
        for nonsense in [f64::NAN, f64::INFINITY, -1.0] {
            load.learn(&at(3, 0, worker(1, nonsense, 1)));
        }
        let service = load.service_seconds().expect("known");
        assert!(service.is_finite() && service < 1.0, "{service}");
        assert!(load.arrivals().is_finite());
    }
}

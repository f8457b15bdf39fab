//! The workers' own reports, as far as they are fresh and make sense.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::{Duration, Instant},
};
use warren_messaging::message::{Report, Role};
use warren_scaling::Worker;

/// A report that is older than this is none: the worker may be gone, or cut off with work in its hands.
const FRESH: Duration = Duration::from_secs(5);
/// More workers than this are no pipeline's: somebody publishes nonsense.
const MOST_WORKERS: usize = 4096;
/// Kubernetes' longest name.
const LONGEST_NAME: usize = 253;
/// No consumer can have more in its hands: that is AMQP's largest prefetch.
const MOST_IN_HAND: u64 = 65_535;
/// No process gets so far, and estimates are exact up to here.
const LARGEST_TOTAL: u64 = 1 << 53;

/// What a report is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// It can wait for the next look.
    Nothing,
    /// It cannot: a worker's first, or the first submit after a rest.
    Urgent,
    /// A worker was asked to end while it had work.
    StopsBusy,
}

/// The last report of each processor of one pipeline.
#[derive(Debug, Default)]
pub struct Reports {
    workers: HashMap<String, Last>,
}

#[derive(Debug)]
struct Last {
    at: Instant,
    worker: Worker,
    /// Where it can be spoken to; of a worker of an older version that is not known.
    address: Option<String>,
}

impl Reports {
    /// Takes a report in that came from `address`.
    pub fn take(&mut self, report: Report, address: Option<String>, now: Instant) -> News {
        if report.role == Role::Web {
            return if report.wake { News::Urgent } else { News::Nothing };
        }
        if !is_sensible(&report) || (self.workers.len() >= MOST_WORKERS && !self.workers.contains_key(&report.worker)) {
            return News::Nothing;
        }
        let worker = Worker {
            name: report.worker.clone(),
            in_flight: report.in_flight,
            processed_total: report.processed_total,
            busy_seconds_total: report.busy_seconds_total,
            draining: report.draining,
        };
        let stops_busy = worker.draining && worker.in_flight > 0;
        match self.workers.insert(report.worker, Last { at: now, worker, address }) {
            None => News::Urgent,
            Some(before) if stops_busy && !before.worker.draining => News::StopsBusy,
            Some(_) => News::Nothing,
        }
    }

    /// The processors that reported lately.
    pub fn fresh(&mut self, now: Instant) -> Vec<Worker> {
        self.workers.retain(|_, last| now.duration_since(last.at) <= FRESH);
        self.workers.values().map(|last| last.worker.clone()).collect()
    }

    /// What a processor said last.
    pub fn last(&self, worker: &str) -> Option<&Worker> {
        self.workers.get(worker).map(|last| &last.worker)
    }

    /// Where these processors can be spoken to, as far as that is known.
    pub fn addresses(&self, workers: &BTreeSet<String>) -> BTreeMap<String, String> {
        let known = workers.iter().filter_map(|name| self.workers.get_key_value(name));
        known.filter_map(|(name, last)| Some((name.clone(), last.address.clone()?))).collect()
    }
}

/// Whether a worker of any make could say so. The name ends in logs and Events; a worker that says it has no capacity, or
/// a little less than it has in work, is only inexact.
fn is_sensible(report: &Report) -> bool {
    let Report { worker, busy_seconds_total: busy, .. } = report;
    (1..=LONGEST_NAME).contains(&worker.len())
        && !worker.chars().any(char::is_control)
        && report.capacity <= MOST_IN_HAND
        && report.in_flight <= report.capacity.saturating_mul(2).max(1)
        && report.processed_total <= LARGEST_TOTAL
        && (0.0..=LARGEST_TOTAL as f64).contains(busy)
}

#[cfg(test)]
mod properties;

#[cfg(test)]
mod tests {
    use super::*;

    fn report(worker: &str, role: Role) -> Report {
        Report {
            worker: worker.into(),
            role,
            in_flight: 1,
            capacity: 1,
            processed_total: 7,
            busy_seconds_total: 1.5,
            draining: false,
            wake: false,
        }
    }

    #[test]
    fn a_worker_that_reports_for_the_first_time_is_news_and_a_stale_one_is_gone() {
        let (mut reports, start) = (Reports::default(), Instant::now());
        assert_eq!(reports.take(report("a", Role::Processor), None, start), News::Urgent);
        assert_eq!(reports.take(report("a", Role::Processor), None, start + Duration::from_secs(1)), News::Nothing);
        assert_eq!(reports.take(report("b", Role::Processor), None, start + Duration::from_secs(4)), News::Urgent);
        assert_eq!(reports.fresh(start + Duration::from_secs(6)).len(), 2);
        let left: Vec<_> =
            reports.fresh(start + Duration::from_secs(7)).into_iter().map(|worker| worker.name).collect();
        assert_eq!(left, ["b"]);
    }

    #[test]
    fn the_web_side_wakes_and_is_no_processor() {
        let (mut reports, now) = (Reports::default(), Instant::now());
        assert_eq!(reports.take(report("w", Role::Web), None, now), News::Nothing);
        assert_eq!(reports.take(Report { wake: true, ..report("w", Role::Web) }, None, now), News::Urgent);
        assert_eq!(reports.fresh(now), []);
    }

    #[test]
    fn a_worker_that_is_stopped_with_work_is_counted_once() {
        let (mut reports, now) = (Reports::default(), Instant::now());
        let draining = || Report { draining: true, ..report("a", Role::Processor) };
        reports.take(report("a", Role::Processor), None, now);
        assert_eq!(
            [reports.take(draining(), None, now), reports.take(draining(), None, now)],
            [News::StopsBusy, News::Nothing]
        );
    }

    #[test]
    fn nonsense_is_no_report() {
        let (mut reports, now) = (Reports::default(), Instant::now());
        for nonsense in [
            Report { busy_seconds_total: f64::NAN, ..report("a", Role::Processor) },
            Report { busy_seconds_total: -1.0, ..report("a", Role::Processor) },
            Report { busy_seconds_total: f64::INFINITY, ..report("a", Role::Processor) },
            Report { in_flight: u64::MAX, ..report("a", Role::Processor) },
            Report { in_flight: 100_000, capacity: 100_000, ..report("a", Role::Processor) },
            Report { processed_total: u64::MAX, ..report("a", Role::Processor) },
            Report { busy_seconds_total: 1e300, ..report("a", Role::Processor) },
            report("a\nb", Role::Processor),
            report("", Role::Processor),
            report(&"a".repeat(300), Role::Processor),
        ] {
            assert_eq!(reports.take(nonsense, None, now), News::Nothing);
        }
        assert_eq!(reports.fresh(now), []);
        for number in 0..2 * MOST_WORKERS {
            reports.take(report(&number.to_string(), Role::Processor), None, now);
        }
        assert_eq!(reports.fresh(now).len(), MOST_WORKERS);
    }
}

//! The workers' own reports, as far as they are fresh and make sense.

use std::{
    collections::HashMap,
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

/// The last report of each processor of one pipeline.
#[derive(Debug, Default)]
pub struct Reports {
    workers: HashMap<String, (Instant, Worker)>,
}

impl Reports {
    /// Takes a report in; whether it is news that cannot wait: a worker's first, or one that says so.
    pub fn take(&mut self, report: Report, now: Instant) -> bool {
        if report.role == Role::Web {
            return report.wake;
        }
        if !is_sensible(&report) || (self.workers.len() >= MOST_WORKERS && !self.workers.contains_key(&report.worker)) {
            return false;
        }
        let worker = Worker {
            name: report.worker.clone(),
            in_flight: report.in_flight,
            processed_total: report.processed_total,
            busy_seconds_total: report.busy_seconds_total,
            draining: report.draining,
        };
        self.workers.insert(report.worker, (now, worker)).is_none()
    }

    /// The processors that reported lately.
    pub fn fresh(&mut self, now: Instant) -> Vec<Worker> {
        self.workers.retain(|_, (at, _)| now.duration_since(*at) <= FRESH);
        self.workers.values().map(|(_, worker)| worker.clone()).collect()
    }
}

fn is_sensible(report: &Report) -> bool {
    let busy = report.busy_seconds_total;
    busy.is_finite()
        && busy >= 0.0
        && !report.worker.is_empty()
        && report.worker.len() <= LONGEST_NAME
        && report.in_flight <= report.capacity.saturating_mul(2).max(1)
}

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
        assert!(reports.take(report("a", Role::Processor), start));
        assert!(!reports.take(report("a", Role::Processor), start + Duration::from_secs(1)));
        assert!(reports.take(report("b", Role::Processor), start + Duration::from_secs(4)));
        assert_eq!(reports.fresh(start + Duration::from_secs(6)).len(), 2);
        let left: Vec<_> =
            reports.fresh(start + Duration::from_secs(7)).into_iter().map(|worker| worker.name).collect();
        assert_eq!(left, ["b"]);
    }

    #[test]
    fn the_web_side_wakes_and_is_no_processor() {
        let (mut reports, now) = (Reports::default(), Instant::now());
        assert!(!reports.take(report("w", Role::Web), now));
        assert!(reports.take(Report { wake: true, ..report("w", Role::Web) }, now));
        assert_eq!(reports.fresh(now), []);
    }

    #[test]
    fn nonsense_is_no_report() {
        let (mut reports, now) = (Reports::default(), Instant::now());
        for nonsense in [
            Report { busy_seconds_total: f64::NAN, ..report("a", Role::Processor) },
            Report { busy_seconds_total: -1.0, ..report("a", Role::Processor) },
            Report { busy_seconds_total: f64::INFINITY, ..report("a", Role::Processor) },
            Report { in_flight: u64::MAX, ..report("a", Role::Processor) },
            report("", Role::Processor),
            report(&"a".repeat(300), Role::Processor),
        ] {
            assert!(!reports.take(nonsense, now));
        }
        assert_eq!(reports.fresh(now), []);
        for number in 0..2 * MOST_WORKERS {
            reports.take(report(&number.to_string(), Role::Processor), now);
        }
        assert_eq!(reports.fresh(now).len(), MOST_WORKERS);
    }
}

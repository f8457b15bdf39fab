//! How many replicas the work calls for, by the user's target.

use crate::{Policy, Target, load::Load, load::to_f64, starts::FIRST_WAVE};
use std::time::Duration;

/// How busy replicas are meant to be: at 80 % a queue stays short, at 100 % it grows without bound.
const UTILISATION: f64 = 0.8;

/// The work that there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Requests that wait in the request queue.
    pub waiting: u64,
    /// Requests that fall due for another attempt before a new replica could be there.
    pub due: u64,
    /// Requests in work.
    pub in_work: u64,
}

/// How many replicas are called for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// By the target; may be fractions of a replica's use, when much is to come.
    pub replicas: u32,
    /// How many could have work at all.
    pub usable: u32,
    /// The figures, as a sentence without its end.
    pub because: String,
}

impl Work {
    fn ahead(&self) -> u64 {
        self.waiting.saturating_add(self.due)
    }

    /// All of it.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.ahead().saturating_add(self.in_work)
    }
}

/// How many replicas `work` calls for.
#[must_use]
pub fn need(work: Work, policy: &Policy, load: &Load, start_time: Duration) -> Need {
    let usable = quotient(work.total(), policy.concurrency.into());
    let (replicas, rule) = match policy.target {
        Target::BacklogPerReplica(each) => by_backlog(work, each),
        Target::DrainWithin(within) => by_drain(work, within, policy, load, start_time),
    };
    let replicas = if work.total() == 0 { replicas } else { replicas.max(1) };
    Need { replicas, usable, because: format!("{}: {rule}", words(work)) }
}

fn by_backlog(work: Work, each: u32) -> (u32, String) {
    let replicas = quotient(work.total(), each.into());
    (replicas, format!("at {each} per replica that calls for {replicas}"))
}

/// N = ceil((λ + (B + λ·t) / T) · s / (c·ρ)) with λ arrivals per second, B what waits, t the start time, T the time to
/// drain in, s the service time, c the concurrency and ρ the utilisation.
fn by_drain(work: Work, within: Duration, policy: &Policy, load: &Load, start_time: Duration) -> (u32, String) {
    let Some(service) = load.service_seconds() else {
        // Some have to work before it is known how long the work takes.
        let probes = if work.ahead() > 0 { FIRST_WAVE } else { 0 };
        return (probes, format!("how long one takes is not known yet, {probes} find out"));
    };
    let (arrivals, target) = (load.arrivals(), within.as_secs_f64().max(1.0));
    let rate = arrivals + (to_f64(work.ahead()) + arrivals * start_time.as_secs_f64()) / target;
    let replicas = ceil(rate * service / (f64::from(policy.concurrency.max(1)) * UTILISATION));
    let rule = format!(
        "with {arrivals:.1} coming per second and {service:.2} s each, {replicas} drain that within {} s",
        within.as_secs()
    );
    (replicas, rule)
}

fn words(work: Work) -> String {
    let due = if work.due > 0 { format!(", {} due for a retry", work.due) } else { String::new() };
    format!("{} waiting{due} and {} in work", work.waiting, work.in_work)
}

fn quotient(total: u64, each: u64) -> u32 {
    u32::try_from(total.div_ceil(each.max(1))).unwrap_or(u32::MAX)
}

/// Rounded up; what is only a trace of a replica is none.
fn ceil(replicas: f64) -> u32 {
    let up = (replicas - 0.01).ceil().clamp(0.0, f64::from(u32::MAX));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the range of u32")]
    let whole = up as u32;
    whole
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Observation, Worker};

    fn policy(target: Target) -> Policy {
        Policy { min: 0, max: 100, target, idle: Duration::from_secs(30), concurrency: 1 }
    }

    fn work(waiting: u64, in_work: u64) -> Work {
        Work { waiting, due: 0, in_work }
    }

    /// A load of `rate` per second, `service` seconds each, that has gone on for a minute.
    fn steady(rate: u64, service: f64) -> Load {
        let mut load = Load::default();
        for second in 0..60 {
            let (processed_total, busy) = (second * rate, (second * rate) as f64 * service);
            let worker = Worker { name: "a".into(), processed_total, busy_seconds_total: busy, ..Worker::default() };
            let at = Duration::from_secs(second);
            load.learn(&Observation { at, waiting: Some(0), workers: vec![worker], ..Observation::default() });
        }
        load
    }

    #[test]
    fn a_backlog_calls_for_its_quotient_and_the_smallest_for_one() {
        let policy = policy(Target::BacklogPerReplica(10));
        let need = |waiting, in_work| need(work(waiting, in_work), &policy, &Load::default(), Duration::ZERO).replicas;
        assert_eq!([need(0, 0), need(1, 0), need(10, 0), need(11, 0), need(9, 2)], [0, 1, 1, 2, 2]);
        assert_eq!(need(u64::MAX, 1), u32::MAX);
    }

    #[test]
    fn no_more_are_usable_than_could_have_work() {
        let policy = Policy { concurrency: 16, ..policy(Target::BacklogPerReplica(1)) };
        let need = need(work(33, 0), &policy, &Load::default(), Duration::ZERO);
        assert_eq!((need.replicas, need.usable), (33, 3));
    }

    #[test]
    fn a_drain_target_follows_arrivals_backlog_and_the_measured_time() {
        let policy = policy(Target::DrainWithin(Duration::from_secs(30)));
        let need = |waiting, load: &Load| need(work(waiting, 0), &policy, load, Duration::from_secs(2)).replicas;
        assert_eq!(need(0, &Load::default()), 0);
        assert_eq!(need(500, &Load::default()), FIRST_WAVE, "nothing is known of the work");
        let load = steady(4, 2.0);
        assert_eq!(need(0, &load), 11, "(4 + 8/30) * 2 / 0.8");
        assert_eq!(need(300, &load), 36, "(4 + 308/30) * 2 / 0.8");
    }

    #[test]
    fn the_sentence_has_the_figures() {
        let work = Work { waiting: 40, due: 2, in_work: 3 };
        let need = need(work, &policy(Target::BacklogPerReplica(10)), &Load::default(), Duration::ZERO);
        assert_eq!(need.because, "40 waiting, 2 due for a retry and 3 in work: at 10 per replica that calls for 5");
    }
}

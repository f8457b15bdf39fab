//! What is noted of one run.

use std::time::Duration;

/// A number that changes over time: each value and since when it holds.
pub type Steps = Vec<(Duration, u32)>;

/// What is noted of one run.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// When the first request was submitted.
    pub begin: Duration,
    /// How long each delivery had waited in the request queue.
    pub waits: Vec<f64>,
    /// When the first request was in work.
    pub first_in_work: Option<Duration>,
    /// When the last request ended.
    pub last_done: Duration,
    /// How many requests ended: with a result, or as a dead letter.
    pub ended: usize,
    /// Pods stopped while they had work.
    pub busy_kills: u32,
    /// Requests delivered once more, because their Pod was gone.
    pub redelivered: u32,
    /// Replicas asked for.
    pub asked: Steps,
    /// Pods that exist: starting, ready, and finishing their work.
    pub pods: Steps,
    /// Requests that waited, each second.
    pub backlog: Vec<(Duration, usize)>,
}

impl Record {
    /// Pod-seconds after `from`.
    pub fn pod_seconds(&self, from: Duration) -> f64 {
        let ends = self.pods.iter().skip(1).map(|(end, _)| *end);
        let spans = self.pods.iter().zip(ends);
        spans.map(|((begin, pods), end)| f64::from(*pods) * end.saturating_sub(from.max(*begin)).as_secs_f64()).sum()
    }

    /// How often the number of replicas asked for stopped growing and shrank, or the other way round.
    pub fn turns(&self) -> u32 {
        turns(&self.asked)
    }

    /// When `replicas` were first asked for.
    pub fn asked_for(&self, replicas: u32) -> Option<Duration> {
        self.asked.iter().find(|(_, asked)| *asked >= replicas).map(|(at, _)| *at)
    }

    /// When the number asked for changed last.
    pub fn settled(&self) -> Duration {
        self.asked.last().map_or(Duration::ZERO, |(at, _)| *at)
    }

    /// Seconds from the first submit to `moment`.
    pub fn since_begin(&self, moment: Option<Duration>) -> f64 {
        moment.map_or(f64::NAN, |moment| moment.saturating_sub(self.begin).as_secs_f64())
    }
}

/// How often `steps` change their direction.
pub fn turns(steps: &Steps) -> u32 {
    let (mut turns, mut grows) = (0, None);
    for pair in steps.windows(2).filter(|pair| pair[0].1 != pair[1].1) {
        let up = pair[1].1 > pair[0].1;
        turns += u32::from(grows.is_some_and(|grew| grew != up));
        grows = Some(up);
    }
    turns
}

/// The value below which the share `part` of `values` lies; they need no order.
pub fn quantile(values: &[f64], part: f64) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
    let rank = (part * values.len() as f64).ceil() as usize;
    values.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(steps: &[(u64, u32)]) -> Steps {
        steps.iter().map(|(at, number)| (Duration::from_secs(*at), *number)).collect()
    }

    #[test]
    fn pod_seconds_are_the_area_below_the_steps() {
        let record = Record { pods: seconds(&[(0, 0), (2, 3), (4, 1), (10, 0)]), ..Record::default() };
        assert_eq!(record.pod_seconds(Duration::ZERO), 12.0);
        assert_eq!(record.pod_seconds(Duration::from_secs(3)), 9.0);
    }

    #[test]
    fn a_turn_is_a_change_of_direction_and_not_a_step() {
        assert_eq!(turns(&seconds(&[(0, 0), (1, 2), (2, 6), (3, 6), (4, 3), (5, 0)])), 1);
        assert_eq!(turns(&seconds(&[(0, 0), (1, 2), (2, 1), (3, 2), (4, 0)])), 3);
    }

    #[test]
    fn quantiles_are_values_that_occurred() {
        let values: Vec<_> = (1..=100).rev().map(f64::from).collect();
        assert_eq!((quantile(&values, 0.5), quantile(&values, 0.99), quantile(&values, 1.0)), (50.0, 99.0, 100.0));
    }
}

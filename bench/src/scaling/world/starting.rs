//! Pods that start share the cores that there are.

use super::events::PodId;
use std::{collections::BTreeMap, time::Duration};

/// Less of a core's second than this is rounding.
const NOTHING: f64 = 1e-6;

/// The Pods that start, and the core seconds that each still needs.
pub struct Starting {
    cores: Option<f64>,
    left: BTreeMap<PodId, f64>,
    at: Duration,
    /// Changes whenever what was foreseen no longer holds.
    pub version: u64,
}

impl Starting {
    /// None yet, on so many cores.
    pub fn new(cores: Option<f64>) -> Self {
        Self { cores, left: BTreeMap::new(), at: Duration::ZERO, version: 0 }
    }

    /// One more begins, and takes `cpu_seconds`.
    pub fn add(&mut self, pod: PodId, cpu_seconds: f64, at: Duration) {
        self.advance(at);
        self.left.insert(pod, cpu_seconds);
        self.version += 1;
    }

    /// One is no longer wanted.
    pub fn remove(&mut self, pod: PodId, at: Duration) {
        self.advance(at);
        if self.left.remove(&pod).is_some() {
            self.version += 1;
        }
    }

    /// When the next one will be ready, as things are.
    pub fn next(&self) -> Option<Duration> {
        let least = self.left.values().copied().min_by(f64::total_cmp)?;
        Some(self.at + Duration::from_secs_f64(least.max(0.0) / self.share()))
    }

    /// Those that are ready at `at`.
    pub fn finished(&mut self, at: Duration) -> Vec<PodId> {
        self.advance(at);
        let ready: Vec<_> = self.left.iter().filter(|(_, left)| **left < NOTHING).map(|(pod, _)| *pod).collect();
        self.left.retain(|_, left| *left >= NOTHING);
        self.version += 1;
        ready
    }

    /// What each gets of a core.
    fn share(&self) -> f64 {
        self.cores.map_or(1.0, |cores| (cores / self.left.len().max(1) as f64).min(1.0))
    }

    fn advance(&mut self, at: Duration) {
        let done = at.saturating_sub(self.at).as_secs_f64() * self.share();
        self.left.values_mut().for_each(|left| *left -= done);
        self.at = at;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thirty_on_two_cores_take_fifteen_times_as_long_as_one() {
        let (mut alone, mut crowd) = (Starting::new(Some(2.0)), Starting::new(Some(2.0)));
        alone.add(0, 0.5, Duration::ZERO);
        (0..30).for_each(|pod| crowd.add(pod, 0.5, Duration::ZERO));
        assert_eq!(alone.next(), Some(Duration::from_millis(500)));
        assert_eq!(crowd.next(), Some(Duration::from_millis(7500)));
        assert_eq!(crowd.finished(Duration::from_millis(7500)).len(), 30);
        assert_eq!(crowd.next(), None);
    }
}

//! When a request that failed for now is tried again.

use crate::duration;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, time::Duration};

/// How often and with which pauses a request is tried. Delays grow geometrically: after attempt `n` the
/// pause is `initial_delay × factor^(n-1)`, at most `max_delay`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetryPolicy {
    /// Attempts in all, the first included; 1 means no retry.
    pub max_attempts: u32,
    /// The pause after the first attempt.
    #[serde(with = "duration::text")]
    pub initial_delay: Duration,
    /// By what the pause grows from attempt to attempt.
    pub factor: u32,
    /// The longest pause.
    #[serde(with = "duration::text")]
    pub max_delay: Duration,
}

impl Default for RetryPolicy {
    /// Five attempts within about a minute and a half: 1 s, 4 s, 16 s, 64 s.
    fn default() -> Self {
        Self { max_attempts: 5, initial_delay: Duration::from_secs(1), factor: 4, max_delay: Duration::from_secs(300) }
    }
}

impl RetryPolicy {
    /// One attempt and no more.
    #[must_use]
    pub fn none() -> Self {
        Self { max_attempts: 1, ..Self::default() }
    }

    /// The distinct delays for which a retry queue exists, ascending. `max_delay` is always one of them, so
    /// that a handler's `Retry-After` has a tier to be rounded up to. Empty when nothing is ever retried.
    #[must_use]
    pub fn tiers(&self) -> Vec<Duration> {
        if self.max_attempts <= 1 {
            return Vec::new();
        }
        let planned = (1..self.max_attempts).map(|attempt| self.delay_after(attempt));
        // A set, and it stays small: geometric growth reaches `max_delay` soon, and a factor of 1 has one value.
        let tiers: BTreeSet<Duration> = planned.chain([self.max_delay]).collect();
        tiers.into_iter().collect()
    }

    /// The tier in which a request waits after `attempt` failed for now, or `None` when that was the last
    /// attempt. A handler that asked for a pause gets the shortest tier that is not shorter, or the longest.
    #[must_use]
    pub fn tier_after(&self, attempt: u32, asked: Option<Duration>) -> Option<Duration> {
        if attempt >= self.max_attempts {
            return None;
        }
        let wanted = self.delay_after(attempt).max(asked.unwrap_or_default());
        let tiers = self.tiers();
        tiers.iter().find(|tier| **tier >= wanted).or(tiers.last()).copied()
    }

    /// The planned pause after attempt `attempt` (counted from 1).
    fn delay_after(&self, attempt: u32) -> Duration {
        let growth = self.factor.max(1).saturating_pow(attempt.saturating_sub(1));
        self.initial_delay.saturating_mul(growth).min(self.max_delay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(tiers: &[Duration]) -> Vec<u64> {
        tiers.iter().map(Duration::as_secs).collect()
    }

    #[test]
    fn the_default_waits_longer_each_time() {
        let policy = RetryPolicy::default();
        assert_eq!(seconds(&policy.tiers()), [1, 4, 16, 64, 300]);
        let waits: Vec<_> = (1..=5).map(|attempt| policy.tier_after(attempt, None)).collect();
        let expected = [Some(1), Some(4), Some(16), Some(64), None].map(|s| s.map(Duration::from_secs));
        assert_eq!(waits, expected);
    }

    #[test]
    fn a_handlers_wish_is_rounded_up_to_a_tier() {
        let policy = RetryPolicy::default();
        let after = |asked| policy.tier_after(1, Some(Duration::from_secs(asked))).map(|tier| tier.as_secs());
        assert_eq!(after(0), Some(1));
        assert_eq!(after(5), Some(16));
        assert_eq!(after(100), Some(300));
        assert_eq!(after(10_000), Some(300), "no longer than the longest tier");
    }

    #[test]
    fn one_attempt_needs_no_tier() {
        let policy = RetryPolicy { max_attempts: 1, ..RetryPolicy::default() };
        assert!(policy.tiers().is_empty());
        assert_eq!(policy.tier_after(1, Some(Duration::from_secs(9))), None);
    }

    #[test]
    fn huge_factors_end_at_the_longest_delay() {
        let policy = RetryPolicy { max_attempts: 100, factor: u32::MAX, ..RetryPolicy::default() };
        assert_eq!(seconds(&policy.tiers()), [1, 300]);
    }

    proptest::proptest! {
        #[test]
        fn every_wait_has_its_queue_and_is_long_enough(
            max_attempts in 1u32..30, initial in 1u64..100_000, factor in 1u32..20, extra in 0u64..1_000_000,
            attempt in 1u32..40, asked in proptest::option::of(0u64..2_000_000),
        ) {
            let policy = RetryPolicy {
                max_attempts, factor,
                initial_delay: Duration::from_millis(initial),
                max_delay: Duration::from_millis(initial + extra),
            };
            let asked = asked.map(Duration::from_millis);
            match policy.tier_after(attempt, asked) {
                None => proptest::prop_assert!(attempt >= max_attempts),
                Some(tier) => {
                    proptest::prop_assert!(policy.tiers().contains(&tier));
                    proptest::prop_assert!(tier >= asked.unwrap_or_default().min(policy.max_delay));
                }
            }
        }
    }
}

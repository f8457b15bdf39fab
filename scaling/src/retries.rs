//! When requests that wait out a retry delay fall due.
//!
//! A passive declare tells only how many wait. All requests of a tier wait equally long, so they fall due in the order
//! in which they came: what is more than at the last look came just now, what is less were the oldest.

use crate::Tier;
use std::{collections::VecDeque, time::Duration};

/// Of more arrivals per tier the youngest are counted as one: enough for every second of a minute.
const ARRIVALS: usize = 64;

/// When the requests of each tier came.
#[derive(Clone, Debug, Default)]
pub struct Retries {
    tiers: Vec<(Duration, VecDeque<(Duration, u64)>)>,
}

impl Retries {
    /// Takes in how many wait at `at`.
    pub fn learn(&mut self, at: Duration, seen: &[Tier]) {
        self.tiers.retain(|(delay, _)| seen.iter().any(|tier| tier.delay == *delay));
        for tier in seen {
            let arrivals = match self.tiers.iter().position(|(delay, _)| *delay == tier.delay) {
                Some(known) => &mut self.tiers[known].1,
                None => &mut self.tiers.push_mut((tier.delay, VecDeque::new())).1,
            };
            settle(arrivals, at, tier.waiting);
        }
    }

    /// How many fall due within `horizon`.
    #[must_use]
    pub fn due_within(&self, horizon: Duration, at: Duration) -> u64 {
        let all =
            self.tiers.iter().flat_map(|(delay, arrivals)| arrivals.iter().map(move |(came, n)| (*came + *delay, *n)));
        all.filter(|(due, _)| *due <= at + horizon).fold(0, |sum, (_, count)| sum.saturating_add(count))
    }

    /// When the next one falls due, counted from `at`.
    #[must_use]
    pub fn next_due(&self, at: Duration) -> Option<Duration> {
        let firsts = self.tiers.iter().filter_map(|(delay, arrivals)| Some(arrivals.front()?.0 + *delay));
        firsts.min().map(|due| due.saturating_sub(at))
    }
}

/// Brings the known arrivals to the number that is there.
fn settle(arrivals: &mut VecDeque<(Duration, u64)>, at: Duration, waiting: u64) {
    let known = arrivals.iter().fold(0_u64, |sum, (_, count)| sum.saturating_add(*count));
    if waiting > known {
        match arrivals.back_mut() {
            Some((came, count)) if *came == at => *count += waiting - known,
            _ => arrivals.push_back((at, waiting - known)),
        }
        while arrivals.len() > ARRIVALS {
            let (_, count) = arrivals.pop_back().unwrap_or_default();
            // Too early by a little, rather than too late.
            arrivals.back_mut().into_iter().for_each(|(_, last)| *last = last.saturating_add(count));
        }
    }
    let mut gone = known.saturating_sub(waiting);
    while let Some((_, count)) = arrivals.front_mut().filter(|_| gone > 0) {
        let taken = gone.min(*count);
        *count -= taken;
        gone -= taken;
        if *count == 0 {
            arrivals.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tier(delay: u64, waiting: u64) -> [Tier; 1] {
        [Tier { delay: Duration::from_secs(delay), waiting }]
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn requests_fall_due_in_the_order_in_which_they_came() {
        let mut retries = Retries::default();
        retries.learn(seconds(0), &tier(60, 3));
        retries.learn(seconds(20), &tier(60, 5));
        assert_eq!(retries.due_within(seconds(30), seconds(20)), 0);
        assert_eq!(retries.due_within(seconds(40), seconds(20)), 3);
        assert_eq!(retries.due_within(seconds(60), seconds(20)), 5);
        retries.learn(seconds(61), &tier(60, 2));
        assert_eq!(retries.next_due(seconds(61)), Some(seconds(19)));
        retries.learn(seconds(81), &tier(60, 0));
        assert_eq!((retries.next_due(seconds(81)), retries.due_within(seconds(900), seconds(81))), (None, 0));
    }

    #[test]
    fn a_tier_that_fills_for_long_takes_no_more_memory() {
        let mut retries = Retries::default();
        for second in 0..1000 {
            retries.learn(seconds(second), &tier(3600, second));
        }
        assert!(retries.tiers[0].1.len() <= ARRIVALS);
        assert_eq!(retries.due_within(seconds(3600), seconds(999)), 999, "all are still counted");
    }
}

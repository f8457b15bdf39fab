//! When replicas may go.
//!
//! The last ones stay for `idleSeconds` after the last sign of work. Those beyond what was needed lately go earlier, half
//! of them every fifteenth of that time (2 s by default): thirty replicas that a burst leaves behind cost as much as
//! five would in the same time, and a burst that returns after some seconds still meets a part of them.

use std::{collections::VecDeque, time::Duration};

/// How many steps `idleSeconds` has.
const STEPS: u32 = 15;

/// What is remembered of the need of late.
#[derive(Clone, Debug, Default)]
pub struct Lull {
    /// The need at each look of the last step, each larger than all later ones.
    peaks: VecDeque<(Duration, u32)>,
    last_work: Option<Duration>,
    last_step: Option<Duration>,
}

impl Lull {
    /// Takes in how many are needed at `at`, and whether there is anything to do.
    pub fn learn(&mut self, at: Duration, needed: u32, is_work: bool, idle: Duration) {
        if is_work || self.last_work.is_none() {
            self.last_work = Some(at);
        }
        while self.peaks.back().is_some_and(|(_, peak)| *peak <= needed) {
            self.peaks.pop_back();
        }
        self.peaks.push_back((at, needed));
        let oldest = at.saturating_sub(idle / STEPS);
        while self.peaks.len() > 1 && self.peaks.front().is_some_and(|(seen, _)| *seen < oldest) {
            self.peaks.pop_front();
        }
    }

    /// How long there has been nothing to do.
    #[must_use]
    pub fn idle_for(&self, at: Duration) -> Duration {
        self.last_work.map_or(Duration::ZERO, |last| at.saturating_sub(last))
    }

    /// The most that was needed during the last step.
    #[must_use]
    pub fn recent_need(&self) -> u32 {
        self.peaks.front().map_or(0, |(_, peak)| *peak)
    }

    /// How many of `replicas` may stay, on the way to `keep`.
    #[must_use]
    pub fn step(&self, at: Duration, replicas: u32, keep: u32, idle: Duration) -> u32 {
        let step = idle / STEPS;
        if self.last_step.is_some_and(|last| at.saturating_sub(last) < step) {
            return replicas;
        }
        if step.is_zero() { keep } else { keep + replicas.saturating_sub(keep) / 2 }
    }

    /// Takes note that replicas went at `at`.
    pub fn stepped(&mut self, at: Duration) {
        self.last_step = Some(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(30);

    #[test]
    fn the_need_of_the_last_step_counts_and_no_older_one() {
        let mut lull = Lull::default();
        for (at, needed) in [(0, 9), (1, 4), (2, 5)] {
            lull.learn(Duration::from_secs(at), needed, true, IDLE);
        }
        assert_eq!(lull.recent_need(), 9);
        lull.learn(Duration::from_secs(3), 1, true, IDLE);
        assert_eq!(lull.recent_need(), 5);
        lull.learn(Duration::from_secs(60), 0, false, IDLE);
        assert_eq!((lull.recent_need(), lull.idle_for(Duration::from_secs(60))), (0, Duration::from_secs(57)));
    }

    #[test]
    fn half_of_what_is_too_many_goes_at_each_step() {
        let (mut lull, mut replicas, mut replica_seconds) = (Lull::default(), 30, 0);
        for second in 0..30 {
            let at = Duration::from_secs(second);
            let left = lull.step(at, replicas, 1, IDLE);
            if left < replicas {
                lull.stepped(at);
            }
            replicas = left;
            replica_seconds += replicas;
        }
        assert_eq!(replicas, 1);
        assert!(replica_seconds < 100, "{replica_seconds}");
    }
}

//! When replicas may go.
//!
//! The last ones stay for `idleSeconds` after the last sign of work. Those beyond the need go earlier, half of them every
//! thirtieth of that time (1 s by default): thirty replicas that a burst leaves behind cost as much as two would in the
//! same time, and a burst that returns at once still meets a part of them.
//!
//! While there is work, the need is the most that was needed during the last fifth of that time (6 s): a load that only
//! varies by chance would otherwise take replicas away now and ask for them anew a second later, and each that goes while
//! requests come may get one before it is gone. Once nothing is to be done any more there is nothing to wait for.

use std::{collections::VecDeque, time::Duration};

/// How many steps `idleSeconds` has.
const STEPS: u32 = 30;
/// The need of this part of `idleSeconds` counts while there is work.
const WINDOW: u32 = 5;

/// What is remembered of the need of late.
#[derive(Clone, Debug, Default)]
pub struct Lull {
    /// The need at each look of the window, each larger than all later ones.
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
        let window = if is_work { idle / WINDOW } else { Duration::ZERO };
        let oldest = at.saturating_sub(window);
        while self.peaks.len() > 1 && self.peaks.front().is_some_and(|(seen, _)| *seen < oldest) {
            self.peaks.pop_front();
        }
    }

    /// How long there has been nothing to do.
    #[must_use]
    pub fn idle_for(&self, at: Duration) -> Duration {
        self.last_work.map_or(Duration::ZERO, |last| at.saturating_sub(last))
    }

    /// The most that was needed of late.
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
    fn the_need_of_late_counts_while_there_is_work() {
        let mut lull = Lull::default();
        for (at, needed) in [(0, 9), (1, 4), (2, 5), (6, 1)] {
            lull.learn(Duration::from_secs(at), needed, true, IDLE);
        }
        assert_eq!(lull.recent_need(), 9);
        lull.learn(Duration::from_secs(7), 1, true, IDLE);
        assert_eq!(lull.recent_need(), 5);
        lull.learn(Duration::from_secs(8), 0, false, IDLE);
        assert_eq!(lull.recent_need(), 0);
        lull.learn(Duration::from_secs(60), 0, false, IDLE);
        assert_eq!((lull.recent_need(), lull.idle_for(Duration::from_secs(60))), (0, Duration::from_secs(53)));
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
        assert!(replica_seconds < 60, "{replica_seconds}");
    }
}

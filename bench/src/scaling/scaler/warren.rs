//! Warren: the real rules, behind an operator that looks each second and is woken in between.

use super::{MAX, Scaler};
use std::time::Duration;
use warren_scaling::{Memory, Observation, Policy, Target, decide};

/// How long the last replica stays.
pub const IDLE: Duration = Duration::from_secs(30);

/// Warren's operator.
pub struct Warren {
    policy: Policy,
    memory: Memory,
    next: Duration,
}

impl Warren {
    /// With the defaults of a pipeline and `target`; its clock ticks at `phase` past each second.
    pub fn new(target: Target, phase: Duration) -> Self {
        let policy = Policy { min: 0, max: MAX, target, idle: IDLE, concurrency: 1 };
        Self { policy, memory: Memory::default(), next: phase }
    }
}

impl Scaler for Warren {
    fn look(&mut self, seen: &Observation) -> u32 {
        while self.next <= seen.at {
            self.next += Duration::from_secs(1);
        }
        decide(seen, &self.policy, &mut self.memory).replicas
    }

    fn next_look(&self) -> Duration {
        self.next
    }

    fn is_woken(&self) -> bool {
        true
    }

    fn spares_the_busy(&self) -> bool {
        true
    }
}

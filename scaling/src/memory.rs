//! What is remembered between decisions.

use crate::{Observation, load::Load, lull::Lull, retries::Retries, starts::Starts};

/// What is remembered of one pipeline between decisions. An empty one is always right, and only knows less.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// Rates and service time.
    pub load: Load,
    /// When retries fall due.
    pub retries: Retries,
    /// How replicas start.
    pub starts: Starts,
    /// When they may go.
    pub lull: Lull,
}

impl Memory {
    /// Takes an observation in; whether any request ended since the last one.
    pub(crate) fn learn(&mut self, seen: &Observation) -> bool {
        if let Some(tiers) = &seen.tiers {
            self.retries.learn(seen.at, tiers);
        }
        self.starts.learn(seen);
        self.load.learn(seen)
    }
}

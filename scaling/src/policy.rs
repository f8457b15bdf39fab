//! What the user asks for.

use std::time::Duration;

/// What the user asks for: `spec.processor.scaling`, and the concurrency that says what one replica can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Fewest replicas.
    pub min: u32,
    /// Most replicas.
    pub max: u32,
    /// What calls for one more.
    pub target: Target,
    /// How long the last replica stays when there is nothing to do. Those beyond the need go earlier; see
    /// [`lull`](crate::lull).
    pub idle: Duration,
    /// How many requests one replica works on at a time; at least 1.
    pub concurrency: u32,
}

/// What calls for one more replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// This many requests, waiting or in work.
    BacklogPerReplica(u32),
    /// Work that would otherwise not be done within this time, at the measured speed.
    DrainWithin(Duration),
}

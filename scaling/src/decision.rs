//! What was decided.

use std::fmt;

/// A number of replicas, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// How many there should be.
    pub replicas: u32,
    /// Which rule bound the number.
    pub reason: Reason,
    /// One sentence with the figures that led to it.
    pub because: String,
}

/// Which rule bound the number. In CamelCase it is a condition's reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The number is what the work calls for.
    Steady,
    /// More are needed.
    ScalingUp,
    /// More are needed than may be.
    AtMaximum,
    /// Fewer are needed, and some have gone or wait to go.
    ScalingDown,
    /// Nothing is to be done, and the fewest run.
    Idle,
    /// Nobody knows how much there is to do.
    BacklogUnknown,
    /// Nobody knows which replicas are busy.
    WorkersSilent,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 7] = [
        Self::Steady,
        Self::ScalingUp,
        Self::AtMaximum,
        Self::ScalingDown,
        Self::Idle,
        Self::BacklogUnknown,
        Self::WorkersSilent,
    ];

    /// As conditions and metrics show it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Steady => "Steady",
            Self::ScalingUp => "ScalingUp",
            Self::AtMaximum => "AtMaximum",
            Self::ScalingDown => "ScalingDown",
            Self::Idle => "Idle",
            Self::BacklogUnknown => "BacklogUnknown",
            Self::WorkersSilent => "WorkersSilent",
        }
    }

    /// Whether the decision was made without seeing everything.
    #[must_use]
    pub fn is_blind(self) -> bool {
        matches!(self, Self::BacklogUnknown | Self::WorkersSilent)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

//! What a link is doing, in words for `/readyz` and for refusals.

use std::fmt;

/// What a link is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// Connecting, for the first time or again.
    Connecting {
        /// What ended the attempt before, if there was one.
        last_error: Option<String>,
    },
    /// Connected, waiting for the operator to declare what is missing.
    TopologyMissing {
        /// `queue p.requests`, …
        missing: Vec<String>,
    },
    /// Serving.
    Ready,
    /// Connected, but the broker takes no more from this connection: its memory or disk alarm is on.
    Blocked {
        /// The broker's own words.
        reason: String,
    },
    /// Ended on purpose.
    Stopped,
}

impl LinkState {
    /// Whether messages flow.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        *self == Self::Ready
    }
}

impl fmt::Display for LinkState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connecting { last_error: None } => f.write_str("connecting to RabbitMQ"),
            Self::Connecting { last_error: Some(error) } => write!(f, "{error}; trying again"),
            Self::TopologyMissing { missing } => write!(
                f,
                "waiting for RabbitMQ to have {}: the operator or `warren-operator local` declares them",
                missing.join(", ")
            ),
            Self::Ready => f.write_str("ready"),
            Self::Blocked { reason } => {
                write!(f, "RabbitMQ takes no messages now ({reason}): free memory or disk there")
            }
            Self::Stopped => f.write_str("stopped"),
        }
    }
}

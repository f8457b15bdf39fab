//! Why a plan could not be put in place, changed or removed.

use super::{Object, QueuePlan, check::has_code};
use lapin::protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError};

/// Why a plan could not be put in place, changed or removed.
#[derive(Debug, thiserror::Error)]
pub enum DeclareError {
    /// The exchange or queue exists with other properties, which RabbitMQ cannot change in place.
    #[error(
        "{object} exists with other arguments than the pipeline asks for ({broker}): RabbitMQ cannot change \
         them in place; set the pipeline's topology to what exists, or, once it is empty, delete it with \
         `rabbitmqctl delete_queue` and it is declared anew"
    )]
    Inequivalent {
        /// What exists.
        object: Object,
        /// The broker's own words: they name the argument and both values.
        broker: String,
    },
    /// The journal has other limits, and never gets empty.
    #[error(
        "the journal {stream} exists with other limits than the pipeline asks for ({broker}); RabbitMQ cannot change them \
         in place, and a journal never gets empty, so it goes on with those it has. To keep it, set \
         spec.topology.journal to what exists; for the new limits delete it, with all the past in it, with `rabbitmqctl \
         delete_queue {stream}`: it is declared anew within seconds"
    )]
    JournalDiffers {
        /// Its name.
        stream: String,
        /// The broker's own words: they name the argument and both values.
        broker: String,
    },
    /// RabbitMQ 3.10 with the feature flag off, as a node may have it that was upgraded from an older version.
    #[error(
        "RabbitMQ declares no streams, so {object} cannot be had ({broker}): enable them with `rabbitmqctl \
         enable_feature_flag stream_queue` (it cannot be disabled again), or take spec.topology.journal out of the \
         pipeline"
    )]
    NoStreams {
        /// The stream.
        object: Object,
        /// The broker's own words.
        broker: String,
    },
    /// The user may not do that.
    #[error("RabbitMQ refused the user {object} ({broker}): grant configure, write and read on it")]
    Forbidden {
        /// What was to be declared, bound or deleted.
        object: Object,
        /// The broker's own words.
        broker: String,
    },
    /// Anything else, mostly a lost connection.
    #[error("cannot declare or look at {object}")]
    Link {
        /// What was to be declared, bound, looked at or deleted.
        object: Object,
        /// What the connection said.
        source: lapin::Error,
    },
}

impl DeclareError {
    /// `queue` could not be looked at.
    #[must_use]
    pub fn unseen(queue: impl Into<String>, error: lapin::Error) -> Self {
        Self::of(Object::Queue(queue.into()), error)
    }

    /// The answer to declaring `queue`.
    pub(super) fn of_queue(queue: &QueuePlan, object: Object, error: lapin::Error) -> Self {
        match Self::of(object, error) {
            Self::Inequivalent { broker, .. } if queue.is_stream() => {
                Self::JournalDiffers { stream: queue.name.clone(), broker }
            }
            other => other,
        }
    }

    pub(super) fn of(object: Object, error: lapin::Error) -> Self {
        let broker = match error.kind() {
            lapin::ErrorKind::ProtocolError(amqp) => amqp.get_message().to_string(),
            _ => error.to_string(),
        };
        if has_code(&error, &AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED)) {
            return Self::Inequivalent { object, broker };
        }
        if has_code(&error, &AMQPErrorKind::Hard(AMQPHardError::INTERNALERROR)) && broker.contains("feature flag") {
            return Self::NoStreams { object, broker };
        }
        if has_code(&error, &AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED)) {
            return Self::Forbidden { object, broker };
        }
        Self::Link { object, source: error }
    }
}

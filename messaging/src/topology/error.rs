//! Why a plan could not be put in place, changed or removed.

use super::{Object, check::has_code};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};

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

    pub(super) fn of(object: Object, error: lapin::Error) -> Self {
        let broker = match error.kind() {
            lapin::ErrorKind::ProtocolError(amqp) => amqp.get_message().to_string(),
            _ => error.to_string(),
        };
        if has_code(&error, &AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED)) {
            return Self::Inequivalent { object, broker };
        }
        if has_code(&error, &AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED)) {
            return Self::Forbidden { object, broker };
        }
        Self::Link { object, source: error }
    }
}

//! Why RabbitMQ ended what was open, told apart by its codes.

use super::LinkError;
use lapin::{
    ErrorKind,
    protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError},
};

impl From<lapin::Error> for LinkError {
    fn from(error: lapin::Error) -> Self {
        let (kind, said) = match error.kind() {
            ErrorKind::ProtocolError(amqp) => (amqp.kind().clone(), amqp.get_message().to_string()),
            ErrorKind::MissingHeartbeatError => return Self::Silent,
            _ => return Self::Lost(error),
        };
        match kind {
            AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED) => Self::Forbidden { said },
            AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND) => Self::Gone { what: said },
            AMQPErrorKind::Hard(AMQPHardError::CONNECTIONFORCED) => Self::Ended { said },
            _ => Self::Lost(error),
        }
    }
}

/// 530 NOT_ALLOWED has several causes, which only its words tell apart.
pub(super) fn vhost_repair(said: &str) -> &'static str {
    if said.contains("not found") {
        "it does not exist; create it with `rabbitmqctl add_vhost`"
    } else if said.contains("limit") {
        "it has as many connections as it may; raise the limit, or close others"
    } else if said.contains("is down") {
        "it has failed on its node; start it with `rabbitmqctl restart_vhost`"
    } else {
        "grant access with `rabbitmqctl set_permissions`"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapin::protocol::AMQPError;

    fn of(kind: impl Into<AMQPErrorKind>, said: &str) -> LinkError {
        lapin::Error::from(ErrorKind::ProtocolError(AMQPError::new(kind.into(), said.into()))).into()
    }

    #[test]
    fn each_cause_has_words_of_its_own() {
        let silent = lapin::Error::from(ErrorKind::MissingHeartbeatError);
        for (error, word) in [
            (of(AMQPSoftError::ACCESSREFUSED, "read access to queue 'q'"), "refused a permission (read access"),
            (of(AMQPSoftError::NOTFOUND, "no exchange 'p'"), "does not have any more what is needed (no exchange 'p')"),
            (of(AMQPHardError::CONNECTIONFORCED, "vhost 'v' is deleted"), "ended the connection (vhost 'v'"),
            (silent.into(), "not been heard of"),
            (of(AMQPHardError::FRAMEERROR, "x"), "lost the connection"),
        ] {
            assert!(error.to_string().contains(word), "{word} in {error}");
        }
    }

    #[test]
    fn a_refused_virtual_host_has_the_way_out_that_fits() {
        for (said, word) in [
            ("vhost nowhere not found", "add_vhost"),
            ("access to vhost 'v' refused for user 'u'", "set_permissions"),
            ("access to vhost 'v' refused for user 'u': connection limit (1) is reached", "raise the limit"),
            ("access to vhost 'v' refused for user 'u': vhost 'v' is down", "restart_vhost"),
        ] {
            assert!(vhost_repair(said).contains(word), "{said}");
        }
    }
}

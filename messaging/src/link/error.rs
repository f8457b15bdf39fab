//! Why a connection is of no more use.

mod tls;

mod closed;

use crate::broker::Broker;
use lapin::{
    ErrorKind,
    protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError},
};
use std::time::Duration;

/// What ended a connection, or kept it from opening. No variant holds the address: it contains a password.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// Nobody listens there, or the network is away.
    #[error("cannot reach RabbitMQ at {broker}: check that it runs and that the address is right")]
    Unreachable {
        /// `host:port`.
        broker: String,
        /// What the operating system said.
        source: lapin::Error,
    },
    /// Something accepted the connection and said nothing.
    #[error("RabbitMQ at {broker} does not answer: check its load, and that an AMQP port is meant")]
    NoAnswer {
        /// `host:port`.
        broker: String,
    },
    /// Nobody is trusted, so that no certificate could be.
    #[error(
        "no certificate authority is known for amqps://: install the system's (package ca-certificates), or give the \
         broker's issuer as spec.broker.caSecretRef of the pipeline or as AMQP_CA_PEM"
    )]
    NoAuthorities {
        /// What TLS said.
        source: std::io::Error,
    },
    /// Nobody known has signed its certificate.
    #[error(
        "the certificate of RabbitMQ at {broker} is signed by nobody whom this system or a given CA bundle knows: give \
         its issuer's certificate (ca.crt) as spec.broker.caSecretRef of the pipeline, or, outside Kubernetes, as \
         AMQP_CA_PEM"
    )]
    Untrusted {
        /// `host:port`.
        broker: String,
        /// What TLS said.
        source: lapin::Error,
    },
    /// Its certificate is for another host.
    #[error(
        "the certificate of RabbitMQ at {broker} is for {names}: write such a name in the broker's address, or have a \
         certificate issued for the name in it"
    )]
    OtherName {
        /// `host:port`.
        broker: String,
        /// The names in the certificate.
        names: String,
    },
    /// Any other failure of TLS: an expired certificate, no version in common.
    #[error(
        "no TLS with RabbitMQ at {broker}: check its certificate's dates and purpose, and that it asks for no client \
         certificate"
    )]
    Tls {
        /// `host:port`.
        broker: String,
        /// What TLS said.
        source: lapin::Error,
    },
    /// An answer that is not TLS.
    #[error(
        "what listens at {broker} does not speak TLS: write amqp:// in the broker's address, or its TLS port, mostly \
         5671"
    )]
    NotTls {
        /// `host:port`.
        broker: String,
    },
    /// An answer that is not AMQP, or none but the end of the connection.
    #[error(
        "what listens at {broker} begins no plain AMQP: RabbitMQ may be starting or stopping there; if that is its TLS \
         port, write amqps:// in the broker's address"
    )]
    NotAmqp {
        /// `host:port`.
        broker: String,
        /// What was wrong with the answer.
        source: lapin::Error,
    },
    /// Wrong user or password.
    #[error(
        "RabbitMQ at {broker} refused the login of user `{user}` ({said}): check user and password in the broker's \
         address"
    )]
    LoginRefused {
        /// `host:port`.
        broker: String,
        /// Who tried.
        user: String,
        /// The broker's own words.
        said: String,
    },
    /// The virtual host does not exist, the user may not use it, or a limit of connections is reached.
    #[error(
        "RabbitMQ at {broker} refused user `{user}` the virtual host `{vhost}` ({said}): {}", closed::vhost_repair(.said)
    )]
    VhostRefused {
        /// `host:port`.
        broker: String,
        /// Who tried.
        user: String,
        /// Where.
        vhost: String,
        /// The broker's own words.
        said: String,
    },
    /// The broker took the consumer away, mostly because its queue was deleted.
    #[error("RabbitMQ cancelled the consumer of queue {queue}: it was deleted, or its node went away")]
    Cancelled {
        /// The queue.
        queue: String,
    },
    /// It runs out of memory or disk, and reads nothing more from this connection, which has published.
    #[error("RabbitMQ takes no messages now ({reason}): free memory or disk there")]
    Blocked {
        /// The broker's own words.
        reason: String,
    },
    /// The user may not do on a queue or exchange what its part needs.
    #[error(
        "RabbitMQ refused a permission ({said}): the user needs to read, write and configure what belongs to the \
         pipeline; grant it with `rabbitmqctl set_permissions`"
    )]
    Forbidden {
        /// The broker's own words.
        said: String,
    },
    /// A queue or exchange was deleted.
    #[error("RabbitMQ does not have any more what is needed ({what}): it was deleted")]
    Gone {
        /// What is missing.
        what: String,
    },
    /// An administrator or a stopping node ended the connection.
    #[error(
        "RabbitMQ ended the connection ({said}): its node stops, or somebody closed it or deleted the user or virtual \
         host"
    )]
    Ended {
        /// The broker's own words.
        said: String,
    },
    /// Nothing comes any more, not even heartbeats.
    #[error("RabbitMQ has not been heard of for too long: the network swallows what is sent, or the broker hangs")]
    Silent,
    /// It answers, but confirms nothing that is published, for good: seen of RabbitMQ 3.10 after a node of a cluster was
    /// lost. On a new connection it does again.
    #[error("RabbitMQ has confirmed nothing for {} s, though the connection lives: a queue is stuck, or has lost most of its nodes", .since.as_secs())]
    Unconfirmed {
        /// For how long.
        since: Duration,
    },
    /// A channel ended and took its reason with it: mostly because the exchange is gone.
    #[error(
        "RabbitMQ closed the channel: the exchange or queue was deleted, a permission lost, or the connection ended"
    )]
    ChannelClosed,
    /// The connection or a channel of it ended.
    #[error("lost the connection to RabbitMQ")]
    Lost(#[source] lapin::Error),
}

impl LinkError {
    pub(super) fn from_connect(to: &Broker, error: lapin::Error) -> Self {
        let (broker, user) = (to.host_and_port(), to.url.user().to_owned());
        match error.kind() {
            ErrorKind::ProtocolError(amqp) if is_login(amqp.kind()) => {
                Self::LoginRefused { broker, user, said: amqp.get_message().to_string() }
            }
            ErrorKind::ProtocolError(amqp) if is_vhost(amqp.kind()) => {
                let said = amqp.get_message().to_string();
                Self::VhostRefused { broker, user, vhost: to.url.vhost().to_owned(), said }
            }
            _ => tls::refusal(to, error),
        }
    }
}

fn is_login(kind: &AMQPErrorKind) -> bool {
    *kind == AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED)
}

/// 530 NOT_ALLOWED is the answer to a virtual host that is unknown or forbidden.
fn is_vhost(kind: &AMQPErrorKind) -> bool {
    *kind == AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED)
}

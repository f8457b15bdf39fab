//! Everything that keeps a pipeline from working, with its reason and the way out.

use super::{reason::Reason, secrets::SecretError};
use crate::validate::Invalid;
use std::sync::Arc;
use warren_messaging::{
    broker::CaBundleError, broker_url::BrokerUrlError, error_chain::Chain, link::LinkError, topology::DeclareError,
};

/// What keeps a pipeline from working.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The stored resource does not fit this version's schema.
    #[error("the resource cannot be read ({0}): apply it anew, after an upgrade of the chart or of the CRD in crds/")]
    Undecodable(String),
    /// The resource says something impossible.
    #[error("{}", each(.0))]
    Invalid(Vec<Invalid>),
    /// A Secret, or a value in it, is missing.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The broker's address cannot be read.
    #[error("spec.broker.secretRef: the value `{key}` of the Secret `{name}` is no broker address")]
    BrokerUrl {
        /// The Secret's name.
        name: String,
        /// The key.
        key: String,
        /// What is wrong with it.
        source: BrokerUrlError,
    },
    /// The certificates for the broker cannot be read.
    #[error("spec.broker.caSecretRef: the value `{key}` of the Secret `{name}` holds no certificates")]
    BrokerCa {
        /// The Secret's name.
        name: String,
        /// The key.
        key: String,
        /// What is wrong with it.
        source: CaBundleError,
    },
    /// The database's address cannot be one.
    #[error(
        "spec.web.store.postgres.secretRef: the value `{key}` of the Secret `{name}` is no database address: write \
         postgres://user:password@host:5432/database"
    )]
    StoreUrl {
        /// The Secret's name.
        name: String,
        /// The key.
        key: String,
    },
    /// An older pipeline has the exchange.
    #[error(
        "the pipeline {other} was there first and uses the exchange `{exchange}` on the same virtual host; two would \
         take each other's messages: choose another spec.topology.exchange (in a new pipeline: it cannot change), \
         another virtual host, or delete {other}"
    )]
    ExchangeTaken {
        /// The exchange.
        exchange: String,
        /// `namespace/name`.
        other: String,
    },
    /// RabbitMQ cannot be used.
    #[error(transparent)]
    Broker(Arc<LinkError>),
    /// RabbitMQ holds something else, or refuses to hold what is planned.
    #[error(transparent)]
    Topology(Box<DeclareError>),
    /// The request queue has other arguments, and messages.
    #[error(
        "queue {queue} exists with other arguments than the pipeline asks for ({broker}), and RabbitMQ cannot change \
         them in place; {ready} requests wait in it, so it stays as it is and everything goes on: Warren replaces it as \
         soon as it is empty. To keep it for good, set spec.topology to what exists"
    )]
    QueueNotEmpty {
        /// The queue.
        queue: String,
        /// How many requests wait.
        ready: u32,
        /// The broker's own words: they name the argument and both values.
        broker: String,
    },
    /// The request queue is being replaced.
    #[error(
        "queue {queue} is being replaced, since its arguments differ from what the pipeline asks for ({broker}): it is \
         empty, and {consumers} consumers are being stopped; until then submits are refused with 503. Consumers that are \
         not Warren's have to be stopped by hand"
    )]
    QueueMigrating {
        /// The queue.
        queue: String,
        /// How many consumers are left.
        consumers: u32,
        /// The broker's own words.
        broker: String,
    },
    /// The name of an object is in use.
    #[error(
        "{kind} `{name}` exists and does not belong to this pipeline; Warren does not touch it: delete or rename it, or \
         give the pipeline another name (what an earlier pipeline of this name left goes by itself)"
    )]
    NameTaken {
        /// Kind of the object.
        kind: String,
        /// Its name.
        name: String,
    },
    /// The API server refused an object as it was built.
    #[error(
        "Kubernetes refused {kind} `{name}` ({said}); most such refusals come from a template in the pipeline, a quota or an admission policy of the namespace"
    )]
    ObjectRefused {
        /// Kind of the object.
        kind: String,
        /// Its name.
        name: String,
        /// The API server's own words.
        said: String,
    },
    /// The API server could not be asked.
    #[error("the operator could not {doing}; it tries again")]
    Api {
        /// What was tried.
        doing: String,
        /// What came of it.
        source: kube::Error,
    },
}

impl From<DeclareError> for Problem {
    fn from(error: DeclareError) -> Self {
        Self::Topology(Box::new(error))
    }
}

impl Problem {
    /// Its reason.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Undecodable(_) | Self::Invalid(_) => Reason::InvalidSpec,
            Self::Secret(error) => secret(error),
            Self::BrokerUrl { .. } | Self::BrokerCa { .. } | Self::StoreUrl { .. } => Reason::SecretInvalid,
            Self::ExchangeTaken { .. } => Reason::ExchangeTaken,
            Self::Broker(error) => broker(error),
            Self::Topology(error) => topology(error),
            Self::QueueNotEmpty { .. } => Reason::QueueDiffers,
            Self::QueueMigrating { .. } => Reason::QueueMigrating,
            Self::NameTaken { .. } => Reason::NameTaken,
            Self::ObjectRefused { .. } => Reason::ObjectRefused,
            Self::Api { .. } => Reason::ApiError,
        }
    }

    /// Whether an operation failed for a reason that another connection may not have.
    #[must_use]
    pub fn is_of_the_connection(&self) -> bool {
        matches!(self, Self::Topology(error) if matches!(**error, DeclareError::Link { .. }))
    }

    /// Whether the broker said nothing for too long.
    #[must_use]
    pub fn is_silence(&self) -> bool {
        matches!(self, Self::Broker(error) if matches!(**error, LinkError::NoAnswer { .. }))
    }

    /// The whole story, causes included.
    #[must_use]
    pub fn message(&self) -> String {
        Chain(self).to_string()
    }
}

fn secret(error: &SecretError) -> Reason {
    match error {
        SecretError::NotFound { .. } => Reason::SecretNotFound,
        SecretError::KeyMissing { .. } => Reason::SecretKeyMissing,
        SecretError::NotText { .. } => Reason::SecretInvalid,
        SecretError::Api { .. } => Reason::ApiError,
    }
}

fn topology(error: &DeclareError) -> Reason {
    match error {
        DeclareError::Inequivalent { .. } | DeclareError::JournalDiffers { .. } => Reason::QueueDiffers,
        DeclareError::Forbidden { .. } => Reason::TopologyForbidden,
        DeclareError::NoStreams { .. } => Reason::NoStreams,
        DeclareError::Link { .. } => Reason::BrokerUnreachable,
    }
}

fn broker(error: &LinkError) -> Reason {
    match error {
        LinkError::LoginRefused { .. } => Reason::LoginRefused,
        LinkError::VhostRefused { .. } => Reason::VhostRefused,
        LinkError::NoAuthorities { .. }
        | LinkError::Untrusted { .. }
        | LinkError::OtherName { .. }
        | LinkError::Tls { .. } => Reason::BrokerNotTrusted,
        _ => Reason::BrokerUnreachable,
    }
}

fn each(invalid: &[Invalid]) -> String {
    invalid.iter().map(|reason| Chain(reason).to_string()).collect::<Vec<_>>().join("; ")
}

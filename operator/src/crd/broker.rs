//! `spec.broker`, and how any secret is referred to.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How to reach RabbitMQ.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Broker {
    /// The secret that holds the broker's address, amqp://user:password@host:5672/vhost or amqps:// for TLS; the key
    /// connection_string of a RabbitmqCluster's default-user secret works as it is. May change: the workers restart.
    pub secret_ref: SecretKeyRef,

    /// The secret that holds the certificates (PEM) of the authority that signed the broker's certificate, where it is
    /// none that everybody trusts; for amqps:// only. May change: the workers restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<SecretKeyRef>,
}

/// One value of a secret in the pipeline's namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyRef {
    /// The secret's name.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: String,

    /// The key of the value within the secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    pub key: String,
}

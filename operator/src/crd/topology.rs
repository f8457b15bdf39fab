//! `spec.topology`: what the pipeline keeps on the broker.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The exchange and queues that this pipeline keeps on the broker.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TopologySpec {
    /// Name of the exchange, and prefix of the queues <exchange>.requests, .results, .dead and .retry.<delay>. Default:
    /// the pipeline's name. Cannot change.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200), regex(pattern = r"^[A-Za-z0-9_][A-Za-z0-9._-]*$"))]
    pub exchange: Option<String>,

    /// Kind of the request and result queues: quorum (replicated, with a delivery limit) or classic (RabbitMQ's older
    /// kind, for software that declares these queues itself). Default: quorum. Cannot change.
    pub queue_type: QueueType,

    /// About how many requests may wait; beyond it submits are refused with 503. On quorum queues the limit is soft.
    /// Default: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000_000_i64))]
    pub max_length: Option<i64>,

    /// What happens to the queues when the pipeline is deleted: Retain leaves them, DeleteIfEmpty removes them when no
    /// message is left, Delete removes them and the stored results with all they hold. Default: Retain.
    pub deletion_policy: DeletionPolicy,
}

/// Kind of the request and result queues.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum QueueType {
    /// Replicated and durable, with a delivery limit.
    #[default]
    Quorum,
    /// RabbitMQ's older kind.
    Classic,
}

/// What happens to a pipeline's queues when it is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// Queues and stored results stay.
    #[default]
    Retain,
    /// Queues go when no message is left in them; stored results stay.
    DeleteIfEmpty,
    /// Queues and stored results go, with all they hold.
    Delete,
}

impl From<QueueType> for warren_messaging::topology::QueueType {
    fn from(queue_type: QueueType) -> Self {
        match queue_type {
            QueueType::Quorum => Self::Quorum,
            QueueType::Classic => Self::Classic,
        }
    }
}

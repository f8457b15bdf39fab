//! `spec.topology`: what the pipeline keeps on the broker.

use super::schema;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use warren_messaging::duration::PATTERN;

/// The exchange and queues that this pipeline keeps on the broker.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TopologySpec {
    /// Name of the exchange, and prefix of the queues <exchange>.requests, .results, .dead, .retry.<delay> and .journal.
    /// Default: the pipeline's name. Cannot change.
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

    /// Keeps a copy of every request for a while in the stream <exchange>.journal, so that a range of time can be run
    /// again. Taking it away ends the recording and leaves the stream. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub journal: Option<JournalSpec>,

    /// What happens to the queues when the pipeline is deleted: Retain leaves them, DeleteIfEmpty removes them when no
    /// message is left (a journal that is not empty stays), Delete removes them with all they hold, and the volume of a SQLite store; a PostgreSQL database stays.
    /// Default: Retain.
    pub deletion_policy: DeletionPolicy,
}

/// How much of the past the journal keeps. RabbitMQ drops whole segments of the stream, and cannot change these limits in
/// place: they hold from when the stream is first declared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct JournalSpec {
    /// How long requests are kept at least, unless maxBytes is reached before, such as 24h or 7d. Default: 7d.
    #[serde(default = "default_journal_retention")]
    #[schemars(length(max = 32), regex(pattern = PATTERN))]
    #[x_kube(
        validation = Rule::new(format!("{0} >= duration('1m') && {0} <= duration('87600h')", schema::duration("self")))
            .message("journal.retention must be from 1m to 3650d (ten years): write for example 7d")
    )]
    pub retention: String,

    /// How large the stream may grow on each node that has a copy of it, such as 500Mi or 10Gi; the oldest requests go
    /// then. Default: 10Gi.
    #[serde(default = "default_journal_max_bytes")]
    #[schemars(length(max = 32), regex(pattern = SIZE))]
    #[x_kube(
        validation = Rule::new("quantity(self).compareTo(quantity('64Mi')) >= 0 && quantity(self).compareTo(quantity('1Pi')) <= 0")
            .message("journal.maxBytes must be from 64Mi to 1Pi: write for example 10Gi")
    )]
    pub max_bytes: String,
}

/// A size in bytes, as Kubernetes writes it.
const SIZE: &str = "^[1-9][0-9]{0,15}(k|M|G|T|Ki|Mi|Gi|Ti|Pi)?$";

fn default_journal_retention() -> String {
    "7d".into()
}

fn default_journal_max_bytes() -> String {
    "10Gi".into()
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

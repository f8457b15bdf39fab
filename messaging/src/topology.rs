//! Where a pipeline's messages go: one exchange, its queues and their bindings, as plain data.
//!
//! [`Topology`] says what a pipeline wants, [`Topology::plan`] turns that into what RabbitMQ must hold,
//! [`declare`] makes it so, and [`check`] looks whether it is there. What exists otherwise is changed by [`migrate`],
//! what is no longer wanted goes by [`remove`]. [`depths`] and [`reports`] tell what goes on there,
//! [`orders`] speaks to a single worker.

pub mod check;
pub mod declare;
pub mod depths;
mod error;
mod journal;
pub mod migrate;
mod object;
pub mod orders;
mod plan;
pub mod remove;
pub mod reports;

pub use error::DeclareError;
pub use journal::Journal;
pub use object::Object;
pub use plan::{Argument, QueuePlan, Shadow, TopologyPlan};

use crate::{duration, retry::RetryPolicy};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr, time::Duration};

/// Key of a request on its way to `<exchange>.requests`.
pub const REQUEST_KEY: &str = "request";
/// Key of a result on its way to `<exchange>.results`.
pub const RESULT_KEY: &str = "result";
/// Key of a request that will not be tried again, on its way to `<exchange>.dead`.
pub const DEAD_KEY: &str = "dead";
/// Key of progress (`started`, `retrying`) that only a managed web side listens to.
pub const EVENT_KEY: &str = "event";
/// Key of the workers' reports; bound only while somebody listens.
pub const STATS_KEY: &str = "stats";

/// How often the broker itself returns a request whose worker vanished before it dead-letters the request.
/// Always declared: RabbitMQ 3.10 has no default, 4.x has this one.
pub const DELIVERY_LIMIT: i64 = 20;

/// What kind of queue `<exchange>.requests` and `<exchange>.results` are. Dead letters and retry tiers are
/// always quorum queues.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QueueType {
    /// Replicated and durable, with a delivery limit.
    #[default]
    Quorum,
    /// RabbitMQ's older kind. Without a length limit these queues carry no argument at all, so that software
    /// which declares them plainly agrees.
    Classic,
}

impl fmt::Display for QueueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Quorum => "quorum",
            Self::Classic => "classic",
        })
    }
}

/// A queue type that is neither `quorum` nor `classic`.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no queue type: choose quorum or classic")]
pub struct UnknownQueueType(String);

impl FromStr for QueueType {
    type Err = UnknownQueueType;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "quorum" => Ok(Self::Quorum),
            "classic" => Ok(Self::Classic),
            other => Err(UnknownQueueType(other.to_owned())),
        }
    }
}

/// What a pipeline wants of the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    /// Name of the exchange, and prefix of every queue.
    pub exchange: String,
    /// Kind of the request and result queues.
    pub queue_type: QueueType,
    /// About how many requests may wait before submits are refused; soft on quorum queues.
    pub max_length: Option<u64>,
    /// When failed requests are tried again; one queue per distinct delay.
    pub retry: RetryPolicy,
    /// Whether Warren's web side reads the results. A foreign reader gets results only, no dead letters and
    /// no progress.
    pub web_managed: bool,
    /// Whether every request is kept for a while, and how long.
    pub journal: Option<Journal>,
}

impl Topology {
    /// The topology of the default pipeline on `exchange`.
    #[must_use]
    pub fn named(exchange: impl Into<String>) -> Self {
        Self {
            exchange: exchange.into(),
            queue_type: QueueType::default(),
            max_length: None,
            retry: RetryPolicy::default(),
            web_managed: true,
            journal: None,
        }
    }

    /// Where requests wait for a processor.
    #[must_use]
    pub fn requests(&self) -> String {
        format!("{}.requests", self.exchange)
    }

    /// Where results wait for the web side.
    #[must_use]
    pub fn results(&self) -> String {
        format!("{}.results", self.exchange)
    }

    /// Where requests end that will not be tried again.
    #[must_use]
    pub fn dead(&self) -> String {
        format!("{}.dead", self.exchange)
    }

    /// Where every request is kept, if the pipeline keeps a journal.
    #[must_use]
    pub fn journal_stream(&self) -> String {
        format!("{}.journal", self.exchange)
    }

    /// Where requests wait out a retry delay.
    #[must_use]
    pub fn retry_tier(&self, delay: Duration) -> String {
        format!("{}.{}", self.exchange, retry_key(delay))
    }
}

/// Key of a request that waits out `delay` before it is tried again.
#[must_use]
pub fn retry_key(delay: Duration) -> String {
    format!("retry.{}", duration::format(delay))
}

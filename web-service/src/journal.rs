//! The pipeline's journal, as far as replays need it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use warren_messaging::{
    broker::Broker,
    journal::Range,
    link::{Frames, LinkError, connect},
    topology::{TopologyPlan, check},
};

/// A part of the journal that is to be replayed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Wanted {
    /// What was sent then or later.
    pub since: Timestamp,
    /// And not later than this.
    pub until: Timestamp,
    /// Where to, if not into this pipeline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub into: Option<Elsewhere>,
    /// Whether those are replayed of which nobody can tell any more whether they were accepted.
    #[serde(default)]
    pub include_forgotten: bool,
}

impl Wanted {
    /// The part of the stream.
    #[must_use]
    pub fn range(&self, resume_at: Option<u64>) -> Range {
        Range { since: self.since, until: self.until, resume_at }
    }
}

/// Another pipeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Elsewhere {
    /// Its exchange, on the same virtual host.
    pub exchange: String,
}

/// Where the journal is.
pub struct Journal {
    /// The broker.
    pub broker: Broker,
    /// The connection's name at the broker.
    pub connection: String,
    /// The pipeline's exchange.
    pub exchange: String,
    /// The stream.
    pub stream: String,
    /// How long the record of a request is kept after it has ended.
    pub retention: Duration,
}

/// What of a replay's way is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// The journal itself.
    Journal,
    /// The exchange that it is to go to.
    Exchange,
}

impl Journal {
    /// What a replay would miss, if anything.
    ///
    /// # Errors
    /// RabbitMQ cannot be asked.
    pub async fn missing(&self, wanted: &Wanted) -> Result<Option<Missing>, LinkError> {
        let connection = connect(&self.broker, &self.connection, Frames::Large).await?;
        let found = self.look(&connection, wanted).await;
        let _ = tokio::time::timeout(Duration::from_secs(2), connection.close(200, "seen".into())).await;
        Ok(found?)
    }

    async fn look(&self, connection: &lapin::Connection, wanted: &Wanted) -> lapin::Result<Option<Missing>> {
        if check::counts(connection, &self.stream).await?.is_none() {
            return Ok(Some(Missing::Journal));
        }
        let Some(into) = &wanted.into else { return Ok(None) };
        Ok(if check::missing(connection, &exchange_alone(&into.exchange)).await?.is_empty() {
            None
        } else {
            Some(Missing::Exchange)
        })
    }
}

/// All that a pipeline must have for requests to be published to it from outside.
#[must_use]
pub fn exchange_alone(exchange: &str) -> TopologyPlan {
    TopologyPlan { exchange: exchange.to_owned(), queues: Vec::new() }
}

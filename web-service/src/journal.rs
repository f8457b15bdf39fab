//! The pipeline's journal, as far as replays need it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::sync::Semaphore;
use warren_messaging::{
    broker::Broker,
    journal::Range,
    link::{Frames, LinkError, connect, outlived},
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

/// How many look at a time whether a journal is there: each over a connection of its own, which RabbitMQ feels.
const MOST_LOOKS: usize = 2;

/// Who may look at the journal before there is a job. The jobs themselves are few.
pub struct Looks(Semaphore);

impl Default for Looks {
    fn default() -> Self {
        Self(Semaphore::new(MOST_LOOKS))
    }
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
    /// Who may look at it now.
    pub looks: Looks,
}

/// Why a journal cannot be looked at now.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// Enough others do.
    #[error("{MOST_LOOKS} others are looking at the journal at this moment")]
    Busy,
    /// RabbitMQ cannot be asked.
    #[error(transparent)]
    Link(#[from] LinkError),
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
    /// See [`LookError`].
    pub async fn missing(&self, wanted: &Wanted) -> Result<Option<Missing>, LookError> {
        let _one_of_few = self.looks.0.try_acquire().map_err(|_| LookError::Busy)?;
        let connection = connect(&self.broker, &self.connection, Frames::Small).await?;
        let found = tokio::select! {
            found = self.look(&connection, wanted) => found.map_err(LinkError::from),
            () = outlived(&connection) => Err(LinkError::ChannelClosed),
        };
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

//! Records in a PostgreSQL database, which any number of replicas share.

mod error;
mod listen;
mod prepare;
#[cfg(test)]
mod properties;
mod url;
mod write;

pub use error::{PostgresError, Trouble};
pub use url::{PostgresUrl, PostgresUrlError};
pub(super) use write::Connection;

use crate::waiters::Waiters;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// The environment variable with the database's address.
pub const POSTGRES_URL: &str = "WARREN_POSTGRES_URL";

/// Connections for reading, per replica. Writing and listening have one each.
const READERS: u32 = 4;
/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(3);
/// How long an answer may take. A network that swallows packets says nothing for many minutes.
const ANSWER: Duration = Duration::from_secs(10);

/// The database, as seen from one replica. Cheap to clone.
#[derive(Clone)]
pub(super) struct Postgres {
    url: Arc<PostgresUrl>,
    /// The pipeline whose records it keeps, by its exchange.
    exchange: Arc<str>,
    /// Connections for reading.
    pub(super) readers: PgPool,
}

impl Postgres {
    /// Connects to nothing yet.
    pub(super) fn new(url: PostgresUrl, exchange: String) -> Self {
        let readers = lazy(url.options(), READERS);
        Self { url: Arc::new(url), exchange: exchange.into(), readers }
    }

    /// What an error means, and the way out.
    pub(super) fn explain(&self, error: sqlx::Error) -> PostgresError {
        PostgresError::of(&self.url, error)
    }

    /// Bounds a read.
    pub(super) async fn in_time<T>(&self, read: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
        tokio::time::timeout(ANSWER, read).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
    }

    /// Wakes who waits for a request that ended, whichever replica heard of it, until `stop` is cancelled.
    pub(super) async fn wake(self, waiters: Waiters, stop: CancellationToken) {
        listen::listen(&lazy(self.url.options(), 1), &waiters, &stop).await;
    }
}

/// A pool that connects when it is first asked to.
fn lazy(options: &PgConnectOptions, size: u32) -> PgPool {
    PgPoolOptions::new().max_connections(size).acquire_timeout(CONNECT).connect_lazy_with(options.clone())
}

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
use futures::{FutureExt as _, future::BoxFuture};
use sqlx::{
    PgConnection,
    postgres::{PgPool, PgPoolOptions},
};
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
    readers: PgPool,
}

impl Postgres {
    /// Connects to nothing yet.
    pub(super) fn new(url: PostgresUrl, exchange: String) -> Self {
        let readers = few(READERS).after_connect(|connection, _| limit(connection).boxed());
        let readers = readers.connect_lazy_with(url.options().clone());
        Self { url: Arc::new(url), exchange: exchange.into(), readers }
    }

    /// What an error means, and the way out.
    pub(super) fn explain(&self, error: sqlx::Error) -> PostgresError {
        PostgresError::of(&self.url, error)
    }

    /// Reads over one of the connections for that. It is read to the end in a task of its own, even if nobody waits for it
    /// any more, and a connection that does not answer is closed: sqlx would ask such a one, with no limit of time, whether
    /// it still lives, and in a network that swallows packets hold its place for a quarter of an hour.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, sqlx::Result<T>> + Send + 'static,
    ) -> sqlx::Result<T> {
        let readers = self.readers.clone();
        let reading = tokio::spawn(async move {
            let mut connection = readers.acquire().await?;
            let read = tokio::time::timeout(ANSWER, read(&mut connection)).await;
            if read.is_ok() {
                // What its drop does with no limit of time. Not part of sqlx's documentation, but public.
                tokio::spawn(tokio::time::timeout(ANSWER, connection.return_to_pool()));
            } else {
                connection.close_on_drop();
            }
            read.unwrap_or(Err(sqlx::Error::PoolTimedOut))
        });
        // Not even a panic of the driver's is the reader's end.
        reading.await.unwrap_or(Err(sqlx::Error::WorkerCrashed))
    }

    /// Ends the connections for reading.
    pub(super) async fn close(&self) {
        self.readers.close().await;
    }

    /// Wakes who waits for a request that ended, whichever replica heard of it, until `stop` is cancelled.
    pub(super) async fn wake(self, waiters: Waiters, stop: CancellationToken) {
        // A pool for each attempt: what is left of one that is silent may hold its place for long.
        listen::listen(|| few(1).connect_lazy_with(self.url.options().clone()), &waiters, &stop).await;
    }
}

/// A pool of so many connections.
fn few(size: u32) -> PgPoolOptions {
    PgPoolOptions::new().max_connections(size).acquire_timeout(CONNECT)
}

/// A read that outlasts a client that has given up on it ends some time, as a write does.
async fn limit(connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query("SELECT set_config('statement_timeout', '15s', false)").execute(connection).await.map(drop)
}

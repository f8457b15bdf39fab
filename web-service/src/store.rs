//! The record of requests: in a file ([`sqlite`]), or in a database that several replicas share ([`postgres`]).
//!
//! Reads go to a few connections of their own. Writes go to one task that owns the writing connection and commits
//! everything that has gathered since its last commit together: under load the price of a commit is shared, at rest
//! nobody waits for company.

mod batch;
mod dead_letters;
mod health;
mod lease;
mod missing;
pub mod postgres;
mod read;
mod replays;
mod row;
mod sqlite;
mod statements;
mod sweep;
mod write;

pub use health::StoreHealth;
pub use missing::Missing;
pub use read::{Filter, Page};
pub use replays::{Batch, Begun, Chosen, Found, Granted, InHand, NewReplay, Progress, Round};
pub use sweep::Replaced;

use crate::{
    record::{Change, Record, Status},
    waiters::Waiters,
};
use dead_letters::History;
use jiff::Timestamp;
use postgres::{Postgres, PostgresError, PostgresUrl};
use read::Reader;
use sqlx::migrate::Migrator;
use statements::{Kept, Transaction, Work};
use std::{path::PathBuf, sync::Arc};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use warren_messaging::request_id::RequestId;
use write::{Database, Writer};

/// How many callers may wait for the writer; beyond that they wait for a place here.
const WRITE_QUEUE: usize = 1024;

/// Why the store could not do as it was told.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be opened.
    #[error("cannot open the store {path}: the folder must exist or be creatable, and be writable")]
    Open {
        /// The database file.
        path: PathBuf,
        /// What SQLite or the operating system said.
        source: Cause,
    },
    /// The database is none of Warren's.
    #[error("cannot bring the store {path} up to date: it is none of Warren's, or was changed by hand")]
    Migrate {
        /// The database file.
        path: PathBuf,
        /// What is wrong with it.
        source: Cause,
    },
    /// The database on the network cannot be used.
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    /// A write failed, for example because the disk is full.
    #[error("cannot write to the store: check that its disk has room and is writable")]
    Write(#[source] Cause),
    /// A read failed.
    #[error("cannot read from the store")]
    Read(#[source] Cause),
    /// The store is shutting down.
    #[error("the store is closed")]
    Closed,
}

/// A database error that every caller of a shared write gets a copy of.
#[derive(Clone, Debug, thiserror::Error)]
#[error(transparent)]
pub struct Cause(Arc<dyn std::error::Error + Send + Sync>);

impl Cause {
    fn new(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self(Arc::new(error))
    }
}

/// Where records are kept.
#[derive(Clone, Debug)]
pub enum Location {
    /// In a SQLite file.
    File(PathBuf),
    /// In a PostgreSQL database.
    Database {
        /// Its address.
        url: PostgresUrl,
        /// The exchange of the pipeline whose records they are.
        exchange: String,
    },
}

/// Migrations of a database that a later version may have opened before: then it has some that this one does not know.
/// Those only add, so this one works with them, and an upgrade can be taken back.
fn additive(mut migrations: Migrator) -> Migrator {
    migrations.set_ignore_missing(true);
    migrations
}

impl StoreError {
    fn write(error: sqlx::Error) -> Self {
        Self::Write(Cause::new(error))
    }

    fn read(error: sqlx::Error) -> Self {
        Self::Read(Cause::new(error))
    }
}

/// The store. Cheap to clone; clones share it.
#[derive(Clone)]
pub struct Store {
    writer: mpsc::Sender<Job>,
    reader: Reader,
    health: StoreHealth,
}

/// What the writer is asked to do; the answer comes once it is committed.
enum Job {
    Record(Arc<[Change]>, oneshot::Sender<Result<(), StoreError>>),
    Forget { status: Status, before: Timestamp, limit: u32, answer: oneshot::Sender<Result<u64, StoreError>> },
    Transaction { work: Arc<dyn Transaction>, answer: oneshot::Sender<Result<(), StoreError>> },
    Probe { answer: oneshot::Sender<Result<(), StoreError>> },
}

impl Store {
    /// Opens the store, makes it if it is new, and brings its schema up to date. The handle ends once every
    /// clone of the store is gone and it is closed.
    ///
    /// A database that cannot be used now is no error: the store says so in its health, and tries again.
    ///
    /// # Errors
    /// [`StoreError::Open`] or [`StoreError::Migrate`], for a file.
    pub async fn open(location: Location) -> Result<(Self, JoinHandle<()>), StoreError> {
        match location {
            Location::File(path) => {
                let (options, reader) = sqlite::open(path).await?;
                let database = sqlite::Sqlite::new(options, reader.clone());
                Ok(Self::start(database, Reader::Sqlite(reader), StoreHealth::default()))
            }
            Location::Database { url, exchange } => {
                let health = StoreHealth::unknown(format!("connecting to {url}"));
                let postgres = Postgres::new(url, exchange);
                let database = postgres::Connection::new(postgres.clone(), health.clone());
                Ok(Self::start(database, Reader::Postgres(postgres), health))
            }
        }
    }

    fn start(database: impl Database + Send + 'static, reader: Reader, health: StoreHealth) -> (Self, JoinHandle<()>) {
        let (writer, jobs) = mpsc::channel(WRITE_QUEUE);
        let writing = tokio::spawn(Writer::new(database, health.clone()).work(jobs));
        tokio::spawn(health::probe_while_unhealthy(health.clone(), writer.downgrade()));
        (Self { writer, reader, health }, writing)
    }

    /// Records changes. When this returns `Ok` they survive a power cut.
    ///
    /// # Errors
    /// [`StoreError::Write`] or [`StoreError::Postgres`]: nothing is promised. [`StoreError::Closed`].
    pub async fn record(&self, changes: impl Into<Arc<[Change]>>) -> Result<(), StoreError> {
        let changes = changes.into();
        self.ask(|answer| Job::Record(changes, answer)).await?
    }

    /// Forgets at most `limit` requests that ended with this status before a time, and their dead letters; returns how
    /// many there were.
    ///
    /// # Errors
    /// [`StoreError::Write`], [`StoreError::Postgres`] or [`StoreError::Closed`].
    pub async fn forget(&self, status: Status, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        self.ask(|answer| Job::Forget { status, before, limit, answer }).await?
    }

    /// Does it all at once, or nothing of it.
    async fn transact<W: Work>(&self, work: W) -> Result<W::Answer, StoreError> {
        let kept = Arc::new(Kept::new(work));
        let work = kept.clone();
        self.ask(|answer| Job::Transaction { work, answer }).await??;
        // It was committed, so it was run.
        kept.answer().ok_or(StoreError::Closed)
    }

    /// What is known of a request.
    ///
    /// # Errors
    /// [`StoreError::Read`] or [`StoreError::Postgres`].
    pub async fn find(&self, id: &RequestId) -> Result<Option<Record>, StoreError> {
        let Some(mut record) = self.reader.find(id).await? else { return Ok(None) };
        if record.replays > 0 {
            record.history = self.reader.look(History(id.clone(), record.replays)).await?;
        }
        Ok(Some(record))
    }

    /// A page of requests, newest first, without their results.
    ///
    /// # Errors
    /// [`StoreError::Read`] or [`StoreError::Postgres`].
    pub async fn list(&self, filter: &Filter) -> Result<Page, StoreError> {
        self.reader.list(filter).await
    }

    /// Wakes who waits for a request whose end another replica recorded, until `stop` is cancelled. A file has no
    /// other replicas.
    pub fn wake(&self, waiters: Waiters, stop: CancellationToken) -> JoinHandle<()> {
        match self.reader.clone() {
            Reader::Sqlite(_) => tokio::spawn(std::future::ready(())),
            Reader::Postgres(postgres) => tokio::spawn(postgres.wake(waiters, stop)),
        }
    }

    /// Whether the last write went well.
    #[must_use]
    pub fn health(&self) -> &StoreHealth {
        &self.health
    }

    async fn ask<T>(&self, job: impl FnOnce(oneshot::Sender<T>) -> Job) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        self.writer.send(job(answer)).await.map_err(|_| StoreError::Closed)?;
        answered.await.map_err(|_| StoreError::Closed)
    }
}

//! The record of requests, on disk.
//!
//! Reads go to a few read-only connections. Writes go to one task that owns the writing connection and commits
//! everything that has gathered since its last commit in one transaction: under load the price of a commit is
//! shared, at rest nobody waits for company.

mod health;
mod read;
mod sqlite;
mod write;

pub use health::StoreHealth;
pub use read::{Filter, Page};

use crate::record::{Change, Record};
use jiff::Timestamp;
use std::{path::PathBuf, sync::Arc};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};
use warren_messaging::request_id::RequestId;
use write::Writer;

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
    /// The database was made by a newer version, or is none of Warren's.
    #[error("cannot bring the store {path} up to date: it may come from a newer version")]
    Migrate {
        /// The database file.
        path: PathBuf,
        /// What is wrong with it.
        source: Cause,
    },
    /// A write failed, for example because the disk is full; nothing of it was kept.
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
    reader: sqlx::SqlitePool,
    health: StoreHealth,
}

/// What the writer is asked to do; the answer comes once it is committed.
enum Job {
    Record(Arc<[Change]>, oneshot::Sender<Result<(), StoreError>>),
    Forget { before: Timestamp, limit: u32, answer: oneshot::Sender<Result<u64, StoreError>> },
    Probe,
}

impl Store {
    /// Opens the store, makes it if it is new, and brings its schema up to date. The handle ends once every
    /// clone of the store is gone and the file is closed.
    ///
    /// # Errors
    /// [`StoreError::Open`] or [`StoreError::Migrate`].
    pub async fn open(path: PathBuf) -> Result<(Self, JoinHandle<()>), StoreError> {
        let (options, reader) = sqlite::open(path).await?;
        let (writer, jobs) = mpsc::channel(WRITE_QUEUE);
        let health = StoreHealth::default();
        let writing = tokio::spawn(Writer::new(options, reader.clone(), health.clone()).work(jobs));
        tokio::spawn(health::probe_while_unhealthy(health.clone(), writer.downgrade()));
        Ok((Self { writer, reader, health }, writing))
    }

    /// Records changes. When this returns `Ok` they survive a power cut.
    ///
    /// # Errors
    /// [`StoreError::Write`]: nothing was recorded. [`StoreError::Closed`].
    pub async fn record(&self, changes: impl Into<Arc<[Change]>>) -> Result<(), StoreError> {
        let changes = changes.into();
        self.ask(|answer| Job::Record(changes, answer)).await?
    }

    /// Forgets at most `limit` requests that ended before a time; returns how many there were.
    ///
    /// # Errors
    /// [`StoreError::Write`] or [`StoreError::Closed`].
    pub async fn forget(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        self.ask(|answer| Job::Forget { before, limit, answer }).await?
    }

    /// What is known of a request.
    ///
    /// # Errors
    /// [`StoreError::Read`].
    pub async fn find(&self, id: &RequestId) -> Result<Option<Record>, StoreError> {
        read::find(&self.reader, id).await
    }

    /// A page of requests, newest first, without their results.
    ///
    /// # Errors
    /// [`StoreError::Read`].
    pub async fn list(&self, filter: &Filter) -> Result<Page, StoreError> {
        read::list(&self.reader, filter).await
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

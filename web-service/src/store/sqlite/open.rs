//! Opening the SQLite file.

use crate::store::{Cause, StoreError, additive};
use sqlx::{
    ConnectOptions as _, SqlitePool,
    migrate::Migrator,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use std::{
    path::{Path, PathBuf},
    sync::LazyLock,
    time::Duration,
};

static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| additive(sqlx::migrate!("migrations/sqlite")));

/// Connections for reading. Each has a thread and a page cache of its own; reads are short.
const READERS: u32 = 2;

/// What opens the writing connection, and the reading ones.
pub(in crate::store) async fn open(path: PathBuf) -> Result<(SqliteConnectOptions, SqlitePool), StoreError> {
    make_folder(&path)?;
    let refuse = |source: sqlx::Error| StoreError::Open { path: path.clone(), source: Cause::new(source) };
    let options = options(&path);
    // A pool of one, since migrations on a bare connection make no future that can be spawned.
    let writers = SqlitePoolOptions::new().max_connections(1).connect_with(options.clone()).await.map_err(refuse)?;
    MIGRATIONS
        .run(&writers)
        .await
        .map_err(|source| StoreError::Migrate { path: path.clone(), source: Cause::new(source) })?;
    writers.close().await;
    let readers = SqlitePoolOptions::new().max_connections(READERS).connect_with(options.clone().read_only(true));
    Ok((options, readers.await.map_err(refuse)?))
}

fn make_folder(path: &Path) -> Result<(), StoreError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder
        .map_or(Ok(()), std::fs::create_dir_all)
        .map_err(|source| StoreError::Open { path: path.to_owned(), source: Cause::new(source) })
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        // Readers do not wait for the writer.
        .journal_mode(SqliteJournalMode::Wal)
        // FULL: a commit that was answered survives a power cut; NORMAL would lose the newest ones in WAL mode.
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(Duration::from_secs(5))
        .log_slow_statements(tracing::log::LevelFilter::Warn, Duration::from_secs(1))
}

//! Where the web side keeps its records, and what can go wrong with it.

mod database;
mod disk;

pub use disk::unshare;

use crate::{
    kind::Kind,
    options::{Options, StoreKind},
};
use database::Database;
use disk::Disk;
use serde_json::{Value, json};
use std::{path::Path, time::Duration};

/// The disk of a database file, in MiB: a thousand requests take about one.
const DISK: u64 = 64;
/// With a database the web side may have several replicas.
const REPLICAS: usize = 2;
/// The Secret of the database's address.
const SECRET: &str = "database";

/// Where the web side keeps its records.
#[derive(Debug)]
pub enum Store {
    /// In a file.
    Sqlite(Disk),
    /// On a server.
    Postgres(Box<Database>),
}

impl Store {
    /// Prepares it for so many requests. As root, [`unshare`] must have been called.
    ///
    /// # Errors
    /// There is no disk for it, or no server.
    pub async fn prepare(options: &Options, state: &Path, requests: u64) -> anyhow::Result<Self> {
        match options.store {
            StoreKind::Sqlite => Ok(Self::Sqlite(Disk::prepare(state, DISK + requests / 400)?)),
            StoreKind::Postgres => Ok(Self::Postgres(Box::new(Database::start().await?))),
        }
    }

    /// Whether this kind of fault can be caused here. Only root has a disk that may be filled.
    #[must_use]
    pub fn can(&self, kind: Kind) -> bool {
        match self {
            Self::Sqlite(disk) => StoreKind::Sqlite.can(kind) && (kind != Kind::DiskFull || disk.is_small),
            Self::Postgres(_) => StoreKind::Postgres.can(kind),
        }
    }

    /// Replicas of the web side.
    #[must_use]
    pub fn replicas(&self) -> usize {
        if matches!(self, Self::Sqlite(_)) { 1 } else { REPLICAS }
    }

    /// `spec.web`.
    #[must_use]
    pub fn spec(&self) -> Value {
        match self {
            Self::Sqlite(_) => json!({"store": {"sqlite": {}}}),
            Self::Postgres(_) => json!({
                "store": {"postgres": {"secretRef": {"name": SECRET, "key": "url"}}},
                "replicas": REPLICAS,
            }),
        }
    }

    /// The Secret that it needs.
    #[must_use]
    pub fn secret(&self) -> Option<Value> {
        let Self::Postgres(database) = self else { return None };
        let metadata = json!({"name": SECRET});
        Some(json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"url": database.url()}}))
    }

    /// Causes a fault of the store, and undoes it after that long.
    ///
    /// # Errors
    /// It cannot be caused here, or not undone.
    pub async fn strike(&mut self, kind: Kind, hold: Duration) -> anyhow::Result<()> {
        match (self, kind) {
            (Self::Sqlite(disk), Kind::DiskFull) => disk.fill(hold).await,
            (Self::Sqlite(disk), Kind::StoreLocked) => disk.lock(hold).await,
            (Self::Postgres(database), Kind::StoreLocked) => database.lock(hold).await,
            (Self::Postgres(database), Kind::KillStore) => database.kill(hold).await,
            (Self::Postgres(database), Kind::CutStore) => {
                database.cut(hold).await;
                Ok(())
            }
            (_, kind) => anyhow::bail!("{kind} cannot be caused in this store"),
        }
    }

    /// Keeps what is in it, for who looks into a failure.
    ///
    /// # Errors
    /// It cannot be copied.
    pub fn keep(&self, at: &Path) -> anyhow::Result<()> {
        match self {
            Self::Sqlite(disk) => disk.keep(at),
            Self::Postgres(database) => database.keep(at),
        }
    }
}

//! A PostgreSQL, and what can be wrong with it and the line to it.

use sqlx::{Connection as _, PgConnection};
use std::{fs, path::Path, time::Duration};
use warren_testkit::{postgres::Server, proxy::Proxy};

/// A server of the campaign's own, behind a line that can be cut.
#[derive(Debug)]
pub struct Database {
    server: Server,
    line: Proxy,
}

impl Database {
    /// Starts it.
    ///
    /// # Errors
    /// There is none on this machine, or it does not start.
    pub async fn start() -> anyhow::Result<Self> {
        let server = Server::start().await?;
        let line = Proxy::start(server.address());
        Ok(Self { server, line })
    }

    /// The address for Warren.
    #[must_use]
    pub fn url(&self) -> String {
        self.line.url(&self.server.url())
    }

    /// Kills it, as a power cut would, and starts it again after a while.
    ///
    /// # Errors
    /// It does not start.
    pub async fn kill(&mut self, hold: Duration) -> anyhow::Result<()> {
        self.server.kill();
        tokio::time::sleep(hold).await;
        Ok(self.server.start_again().await?)
    }

    /// Has all connections reset, and refuses new ones for a while.
    pub async fn cut(&self, hold: Duration) {
        self.line.cut();
        tokio::time::sleep(hold).await;
        self.line.restore();
    }

    /// Holds a lock on the requests that lets nobody read or write them for a while, as a careless migration does.
    ///
    /// # Errors
    /// It is not to be had.
    pub async fn lock(&self, hold: Duration) -> anyhow::Result<()> {
        let mut connection = PgConnection::connect(&self.server.url()).await?;
        let mut transaction = connection.begin().await?;
        sqlx::query("LOCK TABLE requests IN ACCESS EXCLUSIVE MODE").execute(&mut *transaction).await?;
        tokio::time::sleep(hold).await;
        transaction.rollback().await?;
        Ok(connection.close().await?)
    }

    /// Writes all of it to a file.
    ///
    /// # Errors
    /// It cannot be read or written.
    pub fn keep(&self, at: &Path) -> anyhow::Result<()> {
        fs::create_dir_all(at)?;
        Ok(self.server.dump(&at.join("database.sql"))?)
    }
}

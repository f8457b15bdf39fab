//! A database of a test's own.

use super::{Server, shared};
use crate::away::away_from_this_runtime;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tokio::task::spawn_blocking;
use uuid::Uuid;

/// A database of a test's own; deleted when dropped.
#[derive(Debug)]
pub struct Database {
    server: String,
    name: String,
}

/// A fresh database on the shared server; the label, such as the test's name, is for people who look at it.
///
/// # Panics
/// When there is no server, or it refuses.
pub async fn database(label: &str) -> Database {
    let server = spawn_blocking(shared).await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
    create(server, label).await
}

/// A fresh database on a server of the test's own.
///
/// # Panics
/// When the server refuses.
pub async fn database_on(server: &Server, label: &str) -> Database {
    create(&server.url(), label).await
}

async fn create(server: &str, label: &str) -> Database {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
    let label: String = label.chars().map(plain).take(20).collect();
    let database = Database { server: server.to_owned(), name: format!("{label}_{}", Uuid::now_v7().simple()) };
    // Not template1, of which only one copy can be made at a time.
    let create = format!("CREATE DATABASE {} TEMPLATE template0", database.name);
    execute(server, &create).await.unwrap_or_else(|error| panic!("no database {}: {error}", database.name));
    database
}

impl Database {
    /// Its address, with a user who may do everything.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_of(&self.name)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The address of another database of the same server.
    #[must_use]
    pub fn url_of(&self, name: &str) -> String {
        let (server, _) = self.server.rsplit_once('/').expect("an address has a path");
        format!("{server}/{name}")
    }

    /// Its address with another user.
    #[must_use]
    pub fn url_as(&self, user: &str, password: &str) -> String {
        let url = self.url();
        let (_, place) = url.split_once('@').expect("the address has a user");
        format!("postgres://{user}:{password}@{place}")
    }

    /// Runs statements in it.
    ///
    /// # Panics
    /// When one fails.
    pub async fn execute(&self, statements: &str) {
        execute(&self.url(), statements).await.unwrap_or_else(|error| panic!("{statements}: {error}"));
    }

    /// The number that a query gives.
    ///
    /// # Panics
    /// When it fails, or gives something else.
    pub async fn number(&self, query: &str) -> i64 {
        let ask = async || {
            let mut connection = PgConnection::connect(&self.url()).await?;
            sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(&mut connection).await
        };
        ask().await.unwrap_or_else(|error: sqlx::Error| panic!("{query}: {error}"))
    }
}

async fn execute(url: &str, statements: &str) -> sqlx::Result<()> {
    let mut connection = PgConnection::connect(url).await?;
    connection.execute(AssertSqlSafe(statements.to_owned())).await?;
    connection.close().await
}

impl Drop for Database {
    fn drop(&mut self) {
        let (server, drop) = (self.server.clone(), format!("DROP DATABASE {} WITH (FORCE)", self.name));
        away_from_this_runtime(async move {
            // A server of the test's own may be gone before.
            let _ = execute(&server, &drop).await;
        });
    }
}

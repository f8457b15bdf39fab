//! A PostgreSQL for tests: one per test run with a database per test, or a private one to stop and kill.

mod database;
mod error;
mod install;
mod server;

pub use database::{Database, database, database_on};
pub use error::ServerError;
pub use server::Server;

use crate::away::away_from_this_runtime;
use std::{env, sync::OnceLock};

/// The environment variable with the address of a PostgreSQL that runs, and of a user who may make databases; tests then
/// start none.
pub const POSTGRES_URL: &str = "WARREN_TEST_POSTGRES_URL";

/// The environment variable with the folder of the PostgreSQL programs to test against, if not the newest installed one.
pub const PROGRAMS: &str = "WARREN_TEST_POSTGRES_PROGRAMS";

/// A server for a test that stops or kills it. It is gone, with its directory, when it is dropped or the test process
/// ends, however it ends.
///
/// # Panics
/// When it does not start, with the end of its log.
pub async fn private() -> Server {
    Server::start().await.unwrap_or_else(|error| panic!("the test's PostgreSQL does not start: {error}"))
}

/// The address of this test run's server: the one that `WARREN_TEST_POSTGRES_URL` names, or one that is started when a
/// test of this process first asks, and ends with the process. Blocks while it starts.
fn shared() -> &'static str {
    static SHARED: OnceLock<(String, Option<Server>)> = OnceLock::new();
    let (url, _) = SHARED.get_or_init(|| match env::var(POSTGRES_URL) {
        Ok(url) if !url.is_empty() => (url, None),
        _ => {
            let server = away_from_this_runtime(private());
            (server.url(), Some(server))
        }
    });
    url
}

//! Why a server could not be started.

use std::{io, path::PathBuf};

/// Why a server could not be started.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// There is none on this machine.
    #[error(
        "PostgreSQL is not installed: no `postgres` in /usr/lib/postgresql/*/bin or PATH. Install it (`apt-get install \
         postgresql`), or set WARREN_TEST_POSTGRES_URL to one that runs"
    )]
    NotInstalled,
    /// A file or program of it cannot be used.
    #[error("{path:?} cannot be used: {source}")]
    Unusable {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// PostgreSQL does not run as root, and there is nobody else.
    #[error("PostgreSQL refuses to run as root, and /etc/passwd has neither `postgres` nor `nobody`")]
    NobodyElse,
    /// It did not come up.
    #[error("PostgreSQL did not {what}. Its log ends with:\n{tail}")]
    Failed {
        /// What it should have done.
        what: &'static str,
        /// The last lines of its log.
        tail: String,
    },
}

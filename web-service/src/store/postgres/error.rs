//! What is wrong with the database, where, and the way out.

use super::{POSTGRES_URL, PostgresUrl};
use crate::store::Cause;
use sqlx::migrate::MigrateError;

/// Why the database could not do as it was told.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{place}: {trouble}")]
pub struct PostgresError {
    place: String,
    trouble: Trouble,
    source: Option<Cause>,
}

/// What is wrong, and the way out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// No connection.
    #[error("it cannot be reached; it is tried again: check that it runs, and host and port in {POSTGRES_URL}")]
    Unreachable,
    /// No answer.
    #[error("it did not answer in time; it is tried again: look whether it is overloaded, or a lock is held")]
    Silent,
    /// No TLS, or a certificate that is not trusted.
    #[error("TLS failed: check sslmode and sslrootcert in {POSTGRES_URL}, and the server's certificate")]
    Tls,
    /// Wrong user or password, or an entry of `pg_hba.conf`.
    #[error("it refused the login of user `{user}`: correct user and password in {POSTGRES_URL}, or its pg_hba.conf")]
    LoginRefused {
        /// Who.
        user: String,
    },
    /// There is no such database.
    #[error("the database does not exist: create it (`CREATE DATABASE`), or name another one in {POSTGRES_URL}")]
    DatabaseMissing,
    /// Not allowed to.
    #[error(
        "user `{user}` may not do what the store needs: make it the database's owner, or \
         `GRANT USAGE, CREATE ON SCHEMA public TO` it, and let it own the tables `requests` and `pipeline`"
    )]
    Forbidden {
        /// Who.
        user: String,
    },
    /// It takes no writes.
    #[error("it takes no writes, as a standby does: name the primary in {POSTGRES_URL}")]
    ReadOnly,
    /// It has no connection or no room left.
    #[error("it has run out of connections, memory or disk space; it is tried again: give it more")]
    Exhausted,
    /// An old version.
    #[error("it is version {version}: Warren needs PostgreSQL 13 or later")]
    TooOld {
        /// What it says of itself.
        version: String,
    },
    /// Another encoding than UTF-8.
    #[error("its encoding is {encoding}: create a database with `ENCODING 'UTF8'`, and name it in {POSTGRES_URL}")]
    Encoding {
        /// Which.
        encoding: String,
    },
    /// Another pipeline's records are in it.
    #[error("it keeps the records of the pipeline with the exchange `{exchange}`: give each a database of its own")]
    Taken {
        /// The other's exchange.
        exchange: String,
    },
    /// Its tables are somebody else's.
    #[error("its tables cannot be brought up to date: they are none of Warren's, or were changed by hand")]
    Migrate,
    /// Something else.
    #[error("it refused a statement; it is tried again")]
    Refused,
}

impl PostgresError {
    /// Something that was found without an error of the client.
    pub(super) fn found(url: &PostgresUrl, trouble: Trouble) -> Self {
        Self { place: url.to_string(), trouble, source: None }
    }

    /// What an error of the client means.
    pub(super) fn of(url: &PostgresUrl, error: sqlx::Error) -> Self {
        let trouble = trouble(url, &error);
        Self { place: url.to_string(), trouble, source: cause(error) }
    }

    /// What an error of the migration means.
    pub(super) fn of_migration(url: &PostgresUrl, error: MigrateError) -> Self {
        match error {
            MigrateError::Execute(error) => Self::of(url, error),
            MigrateError::ExecuteMigration(error, _) => match trouble(url, &error) {
                Trouble::Refused => Self { place: url.to_string(), trouble: Trouble::Migrate, source: cause(error) },
                trouble => Self { place: url.to_string(), trouble, source: cause(error) },
            },
            other => Self { place: url.to_string(), trouble: Trouble::Migrate, source: Some(Cause::new(other)) },
        }
    }

    /// Whether the server may just be slow.
    pub(super) fn is_silence(&self) -> bool {
        self.trouble == Trouble::Silent
    }
}

fn trouble(url: &PostgresUrl, error: &sqlx::Error) -> Trouble {
    match error {
        sqlx::Error::Io(error) if error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) => Trouble::Tls,
        sqlx::Error::Io(_) => Trouble::Unreachable,
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => Trouble::Silent,
        sqlx::Error::Tls(_) => Trouble::Tls,
        sqlx::Error::Database(error) => refusal(url, error.code().as_deref().unwrap_or_default()),
        _ => Trouble::Refused,
    }
}

/// By SQLSTATE: PostgreSQL's documentation, appendix A.
fn refusal(url: &PostgresUrl, code: &str) -> Trouble {
    let user = || url.user().to_owned();
    match code {
        "28P01" | "28000" => Trouble::LoginRefused { user: user() },
        "3D000" => Trouble::DatabaseMissing,
        "42501" | "3F000" => Trouble::Forbidden { user: user() },
        "25006" => Trouble::ReadOnly,
        // Shutting down, killed, starting up.
        "57P01" | "57P02" | "57P03" => Trouble::Unreachable,
        "57014" | "55P03" => Trouble::Silent,
        _ if code.starts_with("53") => Trouble::Exhausted,
        _ => Trouble::Refused,
    }
}

/// What the server said.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Said(String);

/// Without the client's own words around the server's, and without those that only say what [`Trouble`] does.
fn cause(error: sqlx::Error) -> Option<Cause> {
    match error {
        sqlx::Error::Io(error) => Some(Cause::new(error)),
        sqlx::Error::Database(error) => Some(Cause::new(Said(error.message().to_owned()))),
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => None,
        other => Some(Cause::new(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use warren_messaging::error_chain::Chain;

    fn url() -> PostgresUrl {
        "postgres://warren:s3cret@db/records".parse().expect("an address")
    }

    #[test]
    fn an_error_says_what_where_and_the_way_out() {
        let error = PostgresError::of(&url(), std::io::Error::other("connection refused").into());
        let text = Chain(&error).to_string();
        for word in ["database `records`", "db:5432", "cannot be reached", POSTGRES_URL, "connection refused"] {
            assert!(text.contains(word), "{word} in {text}");
        }
    }

    #[test]
    fn a_certificate_that_is_not_trusted_is_no_matter_of_reaching_the_server() {
        let untrusted = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let error = PostgresError::of(&url(), std::io::Error::other(untrusted).into());
        let text = Chain(&error).to_string();
        assert!(text.contains("sslrootcert") && text.contains("UnknownIssuer"), "{text}");
    }

    #[test]
    fn states_of_the_server_are_told_apart() {
        for (code, word) in [
            ("28P01", "`warren`"),
            ("3D000", "CREATE DATABASE"),
            ("42501", "GRANT"),
            ("25006", "primary"),
            ("57P03", "cannot be reached"),
            ("53300", "run out"),
            ("XX000", "refused a statement"),
        ] {
            assert!(refusal(&url(), code).to_string().contains(word), "{code}");
        }
    }
}

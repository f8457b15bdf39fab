//! The database's address, checked before the client sees it: what it cannot read it would log.

use sqlx::postgres::PgConnectOptions;
use std::{fmt, str::FromStr, time::Duration};
use url::Url;

/// What may follow the `?`.
const PARAMETERS: [&str; 6] = ["sslmode", "sslrootcert", "sslcert", "sslkey", "application_name", "options"];

/// A parsed `postgres://` address. Neither its `Debug` nor its `Display` form shows the password.
#[derive(Clone)]
pub struct PostgresUrl {
    options: Box<PgConnectOptions>,
    place: String,
}

/// Why a text is no database address. No variant holds the text: it may contain a password.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PostgresUrlError {
    /// Not a URL at all.
    #[error(
        "the database's address is not a URL of the form postgres://user:password@host:5432/database ({0}); inside \
         user and password write `#` as %23, `/` as %2f, `?` as %3f, `@` as %40 and `%` as %25"
    )]
    NotAUrl(url::ParseError),
    /// Another scheme.
    #[error("the database's address does not start with postgres:// or postgresql://")]
    Scheme,
    /// Something is left out, or was taken for something else because of a raw delimiter.
    #[error("the database's address names no {0}: write postgres://user:password@host:5432/database")]
    Missing(&'static str),
    /// A `#`, `/`, `?` or `@` that probably belongs to the password.
    #[error(
        "the database's address has a raw `#`, `/`, `?` or `@` inside a user, password or database: write `#` as %23, \
         `/` as %2f, `?` as %3f, `@` as %40"
    )]
    RawDelimiter,
    /// A query parameter that cannot be used.
    #[error("the database's address has a parameter that Warren cannot use: possible are {}", PARAMETERS.join(", "))]
    Parameter,
    /// The client does not take it.
    #[error("the database's address has an escape that is not UTF-8, or an sslmode that PostgreSQL does not know")]
    Unreadable,
}

impl PostgresUrl {
    /// What connects to it.
    pub(super) fn options(&self) -> &PgConnectOptions {
        &self.options
    }

    /// The user, for messages.
    #[must_use]
    pub fn user(&self) -> &str {
        self.options.get_username()
    }

    /// The database, for messages.
    #[must_use]
    pub fn database(&self) -> &str {
        self.options.get_database().unwrap_or_default()
    }
}

impl FromStr for PostgresUrl {
    type Err = PostgresUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url = Url::parse(text.trim()).map_err(PostgresUrlError::NotAUrl)?;
        check(&url)?;
        let options = PgConnectOptions::from_str(url.as_str()).map_err(|_| PostgresUrlError::Unreadable)?;
        let options = match options.get_application_name() {
            Some(_) => options,
            None => options.application_name("warren-web-service"),
        };
        let place = format!("{}:{}", options.get_host(), options.get_port());
        use sqlx::ConnectOptions as _;
        let options = options.log_slow_statements(tracing::log::LevelFilter::Warn, Duration::from_secs(1));
        Ok(Self { options: Box::new(options), place })
    }
}

fn check(url: &Url) -> Result<(), PostgresUrlError> {
    if !matches!(url.scheme(), "postgres" | "postgresql") {
        return Err(PostgresUrlError::Scheme);
    }
    let database = url.path().trim_start_matches('/');
    let query_is_cut = url.query().is_some_and(|query| query.contains('@'));
    if url.fragment().is_some() || database.contains(['/', '@']) || query_is_cut {
        return Err(PostgresUrlError::RawDelimiter);
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(PostgresUrlError::Missing("host"));
    }
    if url.username().is_empty() {
        return Err(PostgresUrlError::Missing("user"));
    }
    if database.is_empty() {
        return Err(PostgresUrlError::Missing("database"));
    }
    match url.query_pairs().all(|(key, _)| PARAMETERS.contains(&&*key)) {
        true => Ok(()),
        false => Err(PostgresUrlError::Parameter),
    }
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "database `{}` of PostgreSQL at {}", self.database(), self.place)
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_password() {
        let url: PostgresUrl = "postgres://warren:s3cret@db:5433/records?sslmode=require".parse().expect("an address");
        assert_eq!(url.to_string(), "database `records` of PostgreSQL at db:5433");
        assert!(!format!("{url:?}").contains("s3cret"));
        assert_eq!(url.user(), "warren");
    }

    #[test]
    fn escapes_in_user_password_and_database_are_understood() {
        let url: PostgresUrl = "postgresql://a%40b:%23%2f%3f%25@h/d%20e".parse().expect("an address");
        assert_eq!((url.user(), url.database()), ("a@b", "d e"));
    }

    #[test]
    fn what_is_no_address_is_refused_without_being_repeated() {
        for (text, word) in [
            ("s3cret", "postgres://user"),
            ("mysql://u:s3cret@h/d", "start with postgres://"),
            ("postgres://u:s3cret@h:port/d", "%23"),
            ("postgres://u:s3cret#@h/d", "%23"),
            ("postgres://u:12#s3cret@h/d", "%23"),
            ("postgres://u:12/s3cret@h/d", "%2f"),
            ("postgres://u:12?s3cret@h/d", "%3f"),
            ("postgres://u:s3cret@h", "no database"),
            ("postgres://u:s3cret@h/", "no database"),
            ("postgres://h/d", "no user"),
            ("postgres:///d", "no host"),
            ("postgres://u:s3cret@h/d?password=s3cret", "sslmode"),
            ("postgres://u:s3cret@h/d?sslmode=s3cret", "sslmode"),
        ] {
            let refusal = text.parse::<PostgresUrl>().expect_err(text).to_string();
            assert!(refusal.contains(word), "{text}: {refusal}");
            assert!(!refusal.contains("s3cret"), "{refusal}");
        }
    }
}

//! The web side's command line and environment.

use crate::{
    listen::ListenSettings,
    retention::Retention,
    store::{
        Location,
        postgres::{POSTGRES_URL, PostgresUrl},
    },
};
use clap::Parser;
use std::{net::SocketAddr, path::PathBuf, time::Duration};
use warren_messaging::{
    duration,
    logging::LogSettings,
    settings::{BrokerSettings, Unrepeated},
};

/// Accepts requests over HTTP, queues them on RabbitMQ, and keeps their results.
#[derive(Parser, Debug)]
#[command(name = "warren-web-service", version)]
pub struct Settings {
    /// Address and port of the HTTP API
    #[arg(long, env = "WARREN_LISTEN", default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    pub listen: SocketAddr,

    /// File of the record of requests; it and its folder are made when missing
    #[arg(long, env = "WARREN_SQLITE_PATH", default_value = "requests.db", value_name = "FILE")]
    pub sqlite_path: PathBuf,

    /// PostgreSQL database of the record of requests, instead of a file: postgres://user:password@host:5432/database
    #[arg(long, env = POSTGRES_URL, hide_env_values = true, value_name = "URL", value_parser = Unrepeated::<PostgresUrl>::new())]
    pub postgres_url: Option<PostgresUrl>,

    /// How long finished requests are kept
    #[arg(long, env = "WARREN_RETENTION", default_value = "24h", value_name = "DURATION", value_parser = duration::parse)]
    pub retention: Duration,

    /// How long failed requests and their dead letters are kept, to be replayed; not shorter than --retention
    #[arg(long, env = "WARREN_DEAD_LETTER_RETENTION", default_value = "336h", value_name = "DURATION", value_parser = duration::parse)]
    pub dead_letter_retention: Duration,

    /// The largest body of a submit, in bytes
    #[arg(long, env = "WARREN_MAX_BODY_BYTES", default_value_t = 1_048_576, value_name = "BYTES")]
    pub max_body_bytes: usize,

    /// The longest a client may wait for a result in one call
    #[arg(long, env = "WARREN_MAX_WAIT", default_value = "60s", value_name = "DURATION", value_parser = duration::parse)]
    pub max_wait: Duration,

    /// The most clients that wait for a result at a time; others are told at once how far it is
    #[arg(long, env = "WARREN_MAX_WAITING", default_value_t = 8_000, value_name = "COUNT")]
    pub max_waiting: usize,

    /// How long RabbitMQ may take to confirm a request before it is refused
    #[arg(long, env = "WARREN_CONFIRM_TIMEOUT", default_value = "5s", value_name = "DURATION", value_parser = duration::parse)]
    pub confirm_timeout: Duration,

    /// What clients are granted
    #[command(flatten)]
    pub clients: ListenSettings,

    /// How RabbitMQ is reached
    #[command(flatten)]
    pub broker: BrokerSettings,

    /// How and what is logged
    #[command(flatten)]
    pub log: LogSettings,
}

impl Settings {
    /// How long they are kept.
    #[must_use]
    pub fn retention(&self) -> Retention {
        Retention { finished: self.retention, dead_letters: self.dead_letter_retention }
    }

    /// What clients are granted. A body of the allowed size always finds room.
    #[must_use]
    pub fn clients(&self) -> ListenSettings {
        let max_held_bytes = self.clients.max_held_bytes.max(self.max_body_bytes);
        ListenSettings { max_held_bytes, ..self.clients.clone() }
    }

    /// Where records are kept.
    #[must_use]
    pub fn location(&self) -> Location {
        match &self.postgres_url {
            Some(url) => Location::Database { url: url.clone(), exchange: self.broker.topology().exchange.clone() },
            None => Location::File(self.sqlite_path.clone()),
        }
    }
}

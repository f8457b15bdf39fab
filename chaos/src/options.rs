//! The command line.

use crate::kind::Kind;
use clap::{Parser, ValueEnum};
use std::{fmt, path::PathBuf, time::Duration};

/// Breaks Warren in every way a machine can, and compares what it promised with what it recorded
#[derive(Clone, Debug, Parser)]
#[command(version)]
pub struct Options {
    /// Requests to send, spread over the faults
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    pub messages: u64,

    /// Faults to cause, one after the other
    #[arg(long, default_value_t = 40, value_name = "N")]
    pub faults: u32,

    /// What the schedule of faults is drawn from
    #[arg(long, default_value_t = 7, value_name = "N")]
    pub seed: u64,

    /// Type of the pipeline's queues
    #[arg(long, default_value = "quorum")]
    pub queue_type: QueueType,

    /// What the handler is: a command that stays, or a server
    #[arg(long, default_value = "exec")]
    pub handler: HandlerKind,

    /// Where the web side keeps its records: in a file, or, with two replicas, in a PostgreSQL of the campaign's own
    #[arg(long, default_value = "sqlite")]
    pub store: StoreKind,

    /// Broker nodes: with 3 they form a cluster, one of which is struck at a time
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=5))]
    pub nodes: u16,

    /// The `rabbitmq-server` to run; default: the one that is installed
    #[arg(long, value_name = "FILE")]
    pub server: Option<PathBuf>,

    /// Clients that submit at the same time
    #[arg(long, default_value_t = 16, value_name = "N")]
    pub clients: u16,

    /// Kinds of faults to cause; default: all that are possible here
    #[arg(long, value_delimiter = ',', value_name = "KIND,…")]
    pub only: Vec<Kind>,

    /// Kinds of faults to leave out
    #[arg(long, value_delimiter = ',', value_name = "KIND,…")]
    pub without: Vec<Kind>,

    /// Instead of faults: load at half the top rate for so long, with the memory each minute
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub soak: Option<Duration>,

    /// Rate of the soak; default: half of what is measured first
    #[arg(long, value_name = "PER SECOND", requires = "soak")]
    pub rate: Option<f64>,

    /// Keep everything here, also after a success; default: a temporary directory, kept after a failure
    #[arg(long, value_name = "DIRECTORY")]
    pub directory: Option<PathBuf>,

    /// Only print the schedule
    #[arg(long)]
    pub schedule: bool,
}

/// A type of queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum QueueType {
    /// Replicated.
    Quorum,
    /// Not.
    Classic,
}

impl fmt::Display for QueueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Quorum { "quorum" } else { "classic" })
    }
}

/// A kind of handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum HandlerKind {
    /// A command that stays, lines in and out.
    Exec,
    /// A server.
    Http,
}

impl HandlerKind {
    /// What the handler's program is told.
    #[must_use]
    pub fn mode(self) -> &'static str {
        if self == Self::Exec { "stream" } else { "http" }
    }
}

/// A kind of store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StoreKind {
    /// A file.
    Sqlite,
    /// A server.
    Postgres,
}

impl StoreKind {
    /// Whether such a fault can befall it.
    #[must_use]
    pub fn can(self, kind: Kind) -> bool {
        match kind {
            Kind::DiskFull => self == Self::Sqlite,
            Kind::KillStore | Kind::CutStore => self == Self::Postgres,
            _ => true,
        }
    }
}

impl fmt::Display for StoreKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Sqlite { "sqlite" } else { "postgres" })
    }
}

impl Options {
    /// The kinds of faults that were asked for, of those that `can` be caused.
    #[must_use]
    pub fn kinds(&self, can: impl Fn(Kind) -> bool) -> Vec<Kind> {
        let all = if self.only.is_empty() { Kind::ALL.to_vec() } else { self.only.clone() };
        all.into_iter().filter(|kind| can(*kind) && !self.without.contains(kind)).collect()
    }

    /// The command line that does the same again.
    #[must_use]
    pub fn again(&self) -> String {
        let Self { messages, faults, seed, queue_type, clients, nodes, store, .. } = self;
        let handler = if self.handler == HandlerKind::Exec { "exec" } else { "http" };
        let mut text = format!(
            "warren-chaos --messages {messages} --faults {faults} --seed {seed} --queue-type {queue_type} \
             --handler {handler} --store {store} --nodes {nodes} --clients {clients}"
        );
        for (flag, kinds) in [("--only", &self.only), ("--without", &self.without)] {
            if !kinds.is_empty() {
                let names: Vec<_> = kinds.iter().map(|kind| kind.name()).collect();
                text.push_str(&format!(" {flag} {}", names.join(",")));
            }
        }
        if let Some(server) = &self.server {
            text.push_str(&format!(" --server {}", server.display()));
        }
        text
    }
}

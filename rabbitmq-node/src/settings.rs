//! What a node is started with.

use crate::Ports;
use std::{path::PathBuf, time::Duration};

/// What a node is started with. [`Settings::new`] gives the defaults; the fields may then be changed.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where everything of the node lives: data, configuration, Erlang cookie, log. Made if it is missing.
    pub directory: PathBuf,
    /// Whether the management API (and its pages) are served. Default: no, which saves almost a second
    /// of processor time at the start and five seconds at the stop (RabbitMQ 3.10 waits for its statistics collector).
    pub management: bool,
    /// The ports, when they must not be any free ones. Default: `None`, any free ones.
    pub ports: Option<Ports>,
    /// How long the node may take until it answers AMQP. Default: 60 s. Two idle cores need 4 to 6 s, busy ones 20.
    pub boot_deadline: Duration,
    /// How often queues tell the management API their figures; what it adds up itself (rates, consumers) it does each
    /// full second at most. Default: 5 s, RabbitMQ's own.
    pub statistics_every: Duration,
    /// Whether the directory is removed when the node is dropped, or when its owner dies. Default: no. For tests.
    pub ephemeral: bool,
    /// A listener for TLS beside the plain one. Default: `None`.
    pub tls: Option<Tls>,
    /// The `rabbitmq-server` to run. Default: `None`, the one that is installed.
    pub server: Option<PathBuf>,
    /// Its place in a cluster, which [`crate::Node::join`] then makes. Default: `None`, a node for itself.
    pub member: Option<Member>,
}

/// What a node must share with those that it forms a cluster with, and what must tell it apart.
#[derive(Debug, Clone)]
pub struct Member {
    /// Its name, another one for each: `warren1` becomes the node `warren1@localhost`.
    pub name: String,
    /// The cluster's secret: letters and digits.
    pub cookie: String,
    /// The port of the cluster's [`crate::PortMapper`].
    pub epmd: u16,
}

/// How a node listens for TLS.
#[derive(Debug, Clone)]
pub struct Tls {
    /// The port of 127.0.0.1, such as [`crate::free_port`] gives.
    pub port: u16,
    /// Its certificate, a PEM file.
    pub certificate: PathBuf,
    /// The certificate's key, a PEM file.
    pub key: PathBuf,
}

impl Settings {
    /// The defaults, in this directory.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            management: false,
            ports: None,
            boot_deadline: Duration::from_secs(60),
            statistics_every: Duration::from_secs(5),
            ephemeral: false,
            tls: None,
            server: None,
            member: None,
        }
    }

    /// The node's name. The same at every start, since RabbitMQ files its data under it; the ports may change.
    pub(crate) fn node_name(&self) -> String {
        format!("{}@localhost", self.member.as_ref().map_or("warren", |member| &member.name))
    }
}

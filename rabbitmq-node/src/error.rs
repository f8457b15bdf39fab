//! Why a node could not be started or stopped.

use std::{io, path::PathBuf, process::ExitStatus, time::Duration};

/// Why a node could not be started or stopped.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// There is no such program on this machine.
    #[error(
        "RabbitMQ is not installed: no {program} in {looked_in}. Install it (`apt-get install rabbitmq-server`, \
         `brew install rabbitmq`), or set AMQP_URL to a broker that runs"
    )]
    NotInstalled {
        /// What was looked for.
        program: &'static str,
        /// Where it was looked for.
        looked_in: String,
    },
    /// The directory, or a file in it, cannot be made or written.
    #[error("RabbitMQ's directory cannot be used: {path:?} cannot be written. Give it to this user, or choose another")]
    Directory {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another node has the directory.
    #[error(
        "another RabbitMQ node runs on {directory:?}. Stop the program that started it, or choose another directory"
    )]
    InUse {
        /// The directory.
        directory: PathBuf,
    },
    /// Something listens on a port that was asked for.
    #[error(
        "port {port} of 127.0.0.1, meant for {purpose}, is taken (`ss -ltnp 'sport = :{port}'` shows by whom). Stop \
         that program, or choose another port"
    )]
    PortTaken {
        /// What the port is for.
        purpose: &'static str,
        /// The port.
        port: u16,
    },
    /// A program is there but does not start.
    #[error("{program:?} does not start. Is it executable for this user?")]
    Spawn {
        /// The program.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The node ended before it answered.
    #[error("RabbitMQ ended while it started ({status}). Its log is {log:?} and ends with:\n{tail}")]
    Exited {
        /// How it ended.
        status: ExitStatus,
        /// Its log.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },
    /// The node did not answer in time. It was killed.
    #[error(
        "RabbitMQ did not answer on port {port} within {after:?} and was killed. Is the machine overloaded? Its log is \
         {log:?} and ends with:\n{tail}"
    )]
    TimedOut {
        /// The AMQP port.
        port: u16,
        /// How long was waited.
        after: Duration,
        /// Its log.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },
    /// The node did not stop in time. It was killed; it recovers at its next start.
    #[error(
        "RabbitMQ did not stop within {after:?} and was killed; nothing confirmed is lost. Its log is {log:?} and ends \
         with:\n{tail}"
    )]
    StopTimedOut {
        /// How long was waited.
        after: Duration,
        /// Its log.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },
    /// `rabbitmqctl` did not do what it was told.
    #[error("rabbitmqctl {order}: {said}")]
    Refused {
        /// What it was told.
        order: String,
        /// What it answered.
        said: String,
    },
}

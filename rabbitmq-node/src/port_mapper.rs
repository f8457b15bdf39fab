//! Erlang's port mapper, by which nodes find each other.

use crate::{NodeError, answer, command, directory, group::Group, guard::Guard, install::Install, ports::free_port};
use std::{
    fs::OpenOptions,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// How long it may take until it answers; it needs milliseconds.
const DEADLINE: Duration = Duration::from_secs(10);

/// The port mapper of a cluster, which outlives each of its nodes. Killed when dropped, and when this process dies.
#[derive(Debug)]
pub struct PortMapper {
    port: u16,
    _epmd: Group,
    _guard: Guard,
}

impl PortMapper {
    /// Starts it on a free port; its log goes to this file.
    ///
    /// # Errors
    /// Erlang is not installed, or the port mapper does not start.
    pub async fn start(log: PathBuf) -> Result<Self, NodeError> {
        let install = Install::find(None)?;
        let port = free_port();
        let file = OpenOptions::new().create(true).append(true).open(&log);
        let file = file.map_err(|source| NodeError::Directory { path: log.clone(), source })?;
        let mut guard = Guard::start(None)?;
        let mut epmd = Group::spawn(command::epmd(&install, port), file)?;
        guard.watch(epmd.pid());
        wait_for_epmd(&mut epmd, port, &log).await?;
        Ok(Self { port, _epmd: epmd, _guard: guard })
    }

    /// Its port of 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

/// A VM registers with it as it starts, once.
pub(crate) async fn wait_for_epmd(epmd: &mut Group, port: u16, log: &Path) -> Result<(), NodeError> {
    let deadline = Instant::now() + DEADLINE;
    while !answer::speaks_epmd(port).await {
        let (log, tail) = (log.to_owned(), directory::tail(log));
        if let Some(status) = epmd.exited() {
            return Err(NodeError::Exited { status, log, tail });
        }
        if Instant::now() > deadline {
            return Err(NodeError::TimedOut { port, after: DEADLINE, log, tail });
        }
        sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

//! The node itself: started, stopped, killed, started again.

use crate::{
    NodeError, Ports, Settings, answer, command, directory::Directory, install::Install, processes::Processes,
};
use std::{
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// How long a node may take to stop. RabbitMQ 3.10 needs 1 s, with management 6 s.
const STOP_DEADLINE: Duration = Duration::from_secs(30);

/// Ports that were found free may be taken by another before the node has them; then others are tried, this often.
const PORT_ATTEMPTS: usize = 3;

/// A RabbitMQ node of our own. It belongs to no async runtime. Dropping it kills it; what its queues hold stays in its
/// directory, unless that is ephemeral. It also ends when this process is killed.
#[derive(Debug)]
pub struct Node {
    // Before the directory, which is unlocked and perhaps removed after they are gone.
    processes: Option<Processes>,
    directory: Directory,
    settings: Settings,
    install: Install,
    ports: Ports,
    /// How the last run ended; known whenever no processes are held.
    ended: Option<ExitStatus>,
}

impl Node {
    /// Starts a node and waits until it answers.
    ///
    /// # Errors
    /// When RabbitMQ is not installed, the directory or a port is not to be had, or the node does not come up.
    pub async fn start(settings: Settings) -> Result<Self, NodeError> {
        let install = Install::find(settings.server.as_deref())?;
        let directory = Directory::open(&settings).await?;
        let ports = settings.ports.unwrap_or_else(|| Ports::free_for(&settings));
        let mut node = Self { processes: None, directory, settings, install, ports, ended: None };
        for _ in 1..PORT_ATTEMPTS {
            match node.start_again().await {
                Err(error) if node.settings.ports.is_none() && lost_a_port(&error) => {
                    node.ports = Ports::free_for(&node.settings);
                }
                other => return other.map(|()| node),
            }
        }
        node.start_again().await.map(|()| node)
    }

    /// Starts it again on the same ports, and waits until it answers, as it does if it is still running.
    ///
    /// # Errors
    /// As for [`Node::start`]; it may be tried again.
    pub async fn start_again(&mut self) -> Result<(), NodeError> {
        if self.exited().is_some() || self.processes.is_none() {
            self.kill();
            self.ports.check(&self.settings)?;
            self.directory.configure(&self.settings, &self.ports)?;
            self.processes = Some(Processes::start(&self.install, &self.directory, &self.settings, &self.ports).await?);
        }
        let ready = self.wait_until_ready().await;
        if ready.is_err() {
            self.kill();
        }
        ready
    }

    async fn wait_until_ready(&mut self) -> Result<(), NodeError> {
        let after = self.settings.boot_deadline;
        let deadline = Instant::now() + after;
        while !self.answers().await {
            let (port, log) = (self.ports.amqp, self.directory.log());
            if let Some(status) = self.exited() {
                return Err(NodeError::Exited { status, log, tail: self.directory.log_tail() });
            }
            if Instant::now() > deadline {
                return Err(NodeError::TimedOut { port, after, log, tail: self.directory.log_tail() });
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Management first: the AMQP listeners open last, TLS behind plain, and each look at one leaves a line in the log.
    async fn answers(&self) -> bool {
        let management = !self.settings.management || answer::accepts(self.ports.management).await;
        management && answer::speaks_amqp(self.ports.amqp).await && self.accepts_tls().await
    }

    async fn accepts_tls(&self) -> bool {
        match &self.settings.tls {
            Some(tls) => answer::accepts(tls.port).await,
            None => true,
        }
    }

    /// Stops it in order: clients hear of it, and what is in memory is written out. A stopped node stays stopped.
    ///
    /// # Errors
    /// When it took longer than 30 s and was killed instead. It is gone then, too.
    pub async fn stop(&mut self) -> Result<(), NodeError> {
        let Some(processes) = &mut self.processes else { return Ok(()) };
        processes.vm.terminate();
        let deadline = Instant::now() + STOP_DEADLINE;
        while processes.vm.exited().is_none() && Instant::now() < deadline {
            sleep(Duration::from_millis(20)).await;
        }
        let in_time = processes.vm.exited().is_some();
        self.kill();
        if in_time {
            return Ok(());
        }
        let (log, tail) = (self.directory.log(), self.directory.log_tail());
        Err(NodeError::StopTimedOut { after: STOP_DEADLINE, log, tail })
    }

    /// Kills it (`kill -9`), as a power cut would.
    pub fn kill(&mut self) {
        if let Some(mut processes) = self.processes.take() {
            self.ended = Some(processes.vm.kill());
        }
    }

    /// How it ended, if it does not run: by itself, or by [`Node::stop`] or [`Node::kill`].
    pub fn exited(&mut self) -> Option<ExitStatus> {
        match &mut self.processes {
            Some(processes) => processes.vm.exited(),
            None => self.ended,
        }
    }

    /// Waits until it does not run. May be dropped and called again.
    pub async fn wait(&mut self) -> ExitStatus {
        loop {
            if let Some(status) = self.exited() {
                return status;
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Its AMQP address, with user and virtual host.
    #[must_use]
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.ports.amqp)
    }

    /// The address of its management API, with user; `None` without management.
    #[must_use]
    pub fn management_url(&self) -> Option<String> {
        self.management_port().map(|port| format!("http://guest:guest@127.0.0.1:{port}"))
    }

    /// Its AMQP port.
    #[must_use]
    pub fn amqp_port(&self) -> u16 {
        self.ports.amqp
    }

    /// The port of its management API; `None` without management.
    #[must_use]
    pub fn management_port(&self) -> Option<u16> {
        self.settings.management.then_some(self.ports.management)
    }

    /// All its ports.
    #[must_use]
    pub fn ports(&self) -> Ports {
        self.ports
    }

    /// The process id of its Erlang VM; `None` after [`Node::stop`] or [`Node::kill`].
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.processes.as_ref().map(|processes| processes.vm.pid())
    }

    /// The process ids of its VM and of its port mapper, each the leader of a process group; none when stopped.
    #[must_use]
    pub fn pids(&self) -> Vec<u32> {
        self.processes.as_ref().map(Processes::pids).unwrap_or_default()
    }

    /// `rabbitmqctl` for this node: add what it should do, and run it.
    #[must_use]
    pub fn control(&self) -> Command {
        command::control(&self.install, &self.directory, &self.settings.node_name(), &self.ports)
    }

    /// Makes it, empty, a member of another one's cluster. Both must have been started with a [`crate::Member`].
    ///
    /// # Errors
    /// When RabbitMQ refuses, with what it says.
    pub async fn join(&self, other: &Self) -> Result<(), NodeError> {
        let name = other.settings.node_name();
        for step in [&["stop_app"][..], &["reset"], &["join_cluster", &name], &["start_app"]] {
            self.order(step).await?;
        }
        Ok(())
    }

    async fn order(&self, arguments: &[&str]) -> Result<(), NodeError> {
        let mut command = self.control();
        command.args(arguments);
        let program = PathBuf::from(command.get_program());
        let output = tokio::process::Command::from(command).output().await;
        let output = output.map_err(|source| NodeError::Spawn { program, source })?;
        if output.status.success() {
            return Ok(());
        }
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).trim().to_owned();
        Err(NodeError::Refused { order: arguments.join(" "), said })
    }

    /// Its directory, as an absolute path.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }
}

fn lost_a_port(error: &NodeError) -> bool {
    match error {
        NodeError::PortTaken { .. } => true,
        NodeError::Exited { tail, .. } => tail.contains("eaddrinuse") || tail.contains("Address already in use"),
        _ => false,
    }
}

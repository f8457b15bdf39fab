//! The processes of a running node.

use crate::{NodeError, Ports, answer, command, directory::Directory, group::Group, guard::Guard, install::Install};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long the port mapper may take until it answers; it needs milliseconds.
const EPMD_DEADLINE: Duration = Duration::from_secs(10);

/// The processes of a running node. Dropped, and killed, in the order of the fields: a node that misses its port mapper
/// would start another, as a daemon.
#[derive(Debug)]
pub(crate) struct Processes {
    /// The Erlang VM with RabbitMQ.
    pub(crate) vm: Group,
    epmd: Group,
    _guard: Guard,
}

impl Processes {
    /// Starts them. The node is not ready yet.
    pub(crate) async fn start(install: &Install, directory: &Directory, ports: &Ports) -> Result<Self, NodeError> {
        let mut guard = Guard::start(directory.is_ephemeral().then(|| directory.path()))?;
        let mut epmd = Group::spawn(command::epmd(install, ports), directory.open_log()?)?;
        guard.watch(epmd.pid());
        wait_for_epmd(&mut epmd, directory, ports).await?;
        let vm = Group::spawn(command::server(install, directory, ports)?, directory.open_log()?)?;
        guard.watch(vm.pid());
        Ok(Self { vm, epmd, _guard: guard })
    }

    /// Their ids: the VM's and the port mapper's.
    pub(crate) fn pids(&self) -> Vec<u32> {
        vec![self.vm.pid(), self.epmd.pid()]
    }
}

/// The VM registers with it as it starts, once.
async fn wait_for_epmd(epmd: &mut Group, directory: &Directory, ports: &Ports) -> Result<(), NodeError> {
    let deadline = Instant::now() + EPMD_DEADLINE;
    while !answer::speaks_epmd(ports.epmd).await {
        let (log, tail) = (directory.log(), directory.log_tail());
        if let Some(status) = epmd.exited() {
            return Err(NodeError::Exited { status, log, tail });
        }
        if Instant::now() > deadline {
            return Err(NodeError::TimedOut { port: ports.epmd, after: EPMD_DEADLINE, log, tail });
        }
        sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

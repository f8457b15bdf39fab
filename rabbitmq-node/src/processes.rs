//! The processes of a running node.

use crate::{
    NodeError, Ports, Settings, command, directory::Directory, group::Group, guard::Guard, install::Install,
    port_mapper::wait_for_epmd,
};

/// The processes of a running node. Dropped, and killed, in the order of the fields: a node that misses its port mapper
/// would start another, as a daemon.
#[derive(Debug)]
pub(crate) struct Processes {
    /// The Erlang VM with RabbitMQ.
    pub(crate) vm: Group,
    /// Its own, unless it is a member of a cluster.
    epmd: Option<Group>,
    _guard: Guard,
}

impl Processes {
    /// Starts them. The node is not ready yet.
    pub(crate) async fn start(
        install: &Install,
        directory: &Directory,
        settings: &Settings,
        ports: &Ports,
    ) -> Result<Self, NodeError> {
        let mut guard = Guard::start(directory.is_ephemeral().then(|| directory.path()))?;
        let mut epmd = match settings.member {
            Some(_) => None,
            None => Some(Group::spawn(command::epmd(install, ports.epmd), directory.open_log()?)?),
        };
        if let Some(epmd) = &mut epmd {
            guard.watch(epmd.pid());
            wait_for_epmd(epmd, ports.epmd, &directory.log()).await?;
        }
        let server = command::server(install, directory, &settings.node_name(), ports)?;
        let vm = Group::spawn(server, directory.open_log()?)?;
        guard.watch(vm.pid());
        Ok(Self { vm, epmd, _guard: guard })
    }

    /// Their ids: the VM's and the port mapper's.
    pub(crate) fn pids(&self) -> Vec<u32> {
        [Some(&self.vm), self.epmd.as_ref()].into_iter().flatten().map(Group::pid).collect()
    }
}

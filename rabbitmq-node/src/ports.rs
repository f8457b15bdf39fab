//! Ports that are free, and stay so.

use crate::{NodeError, Settings};
use std::{
    hash::{BuildHasher, RandomState},
    net::{Ipv4Addr, TcpListener},
};

/// Where candidates come from. Below every system's range of ports for outgoing connections (Linux: 32768 and up): a
/// port from within it could be taken, while its node is stopped, by any client, even by the one that tries to
/// reconnect to it, which would then talk to itself.
const CANDIDATES: std::ops::Range<u16> = 12_000..30_000;

/// The ports of a node, all on 127.0.0.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// AMQP.
    pub amqp: u16,
    /// Erlang distribution, for `rabbitmqctl`.
    pub distribution: u16,
    /// The node's own Erlang port mapper.
    pub epmd: u16,
    /// The management API. Unused without it.
    pub management: u16,
}

impl Ports {
    /// Four free ports.
    #[must_use]
    pub fn free() -> Self {
        let [amqp, distribution, epmd, management] = free_ports();
        Self { amqp, distribution, epmd, management }
    }

    /// Free ones for a node with these settings: a member's port mapper is its cluster's.
    pub(crate) fn free_for(settings: &Settings) -> Self {
        let free = Self::free();
        Self { epmd: settings.member.as_ref().map_or(free.epmd, |member| member.epmd), ..free }
    }

    /// Whether nobody listens on them.
    pub(crate) fn check(&self, settings: &Settings) -> Result<(), NodeError> {
        let mut needed = vec![(self.amqp, "AMQP"), (self.distribution, "Erlang distribution")];
        // A member's is its cluster's, and runs.
        if settings.member.is_none() {
            needed.push((self.epmd, "Erlang's port mapper"));
        }
        if settings.management {
            needed.push((self.management, "the management API"));
        }
        match needed.into_iter().find(|(port, _)| bind(*port).is_none()) {
            Some((port, purpose)) => Err(NodeError::PortTaken { purpose, port }),
            None => Ok(()),
        }
    }
}

/// A port of 127.0.0.1 on which nobody listens, outside the range from which outgoing connections take theirs.
#[must_use]
pub fn free_port() -> u16 {
    let [port] = free_ports();
    port
}

/// Different ones, since each stays bound until all are found.
fn free_ports<const N: usize>() -> [u16; N] {
    let held: [(u16, TcpListener); N] = std::array::from_fn(|_| free_listener());
    held.map(|(port, _)| port)
}

fn free_listener() -> (u16, TcpListener) {
    let count = u64::from(CANDIDATES.end - CANDIDATES.start);
    // The standard library's hasher keys are its only source of randomness, and enough to keep processes apart.
    let start = RandomState::new().hash_one(0) % count;
    (0..count)
        .map(|step| CANDIDATES.start + u16::try_from((start + step) % count).expect("count is below 65536"))
        .find_map(|port| Some((port, bind(port)?)))
        .expect("one of the 18,000 ports from 12000 on is free")
}

/// The standard library sets SO_REUSEADDR, as Erlang does: connections of a former node do not count as taken.
fn bind(port: u16) -> Option<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_ports_are_all_different() {
        let ports = Ports::free();
        let mut all = vec![ports.amqp, ports.distribution, ports.epmd, ports.management];
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 4, "{ports:?}");
    }

    #[test]
    fn a_taken_port_is_named_with_its_purpose() {
        let (port, _held) = free_listener();
        let error = Ports { epmd: port, ..Ports::free() }.check(&Settings::new("x")).unwrap_err().to_string();
        assert!(error.starts_with(&format!("port {port} of 127.0.0.1, meant for Erlang's port mapper, is taken")));
    }

    #[test]
    fn a_taken_management_port_does_not_matter_to_a_node_without_management() {
        let (port, _held) = free_listener();
        let ports = Ports { management: port, ..Ports::free() };
        assert!(ports.check(&Settings::new("x")).is_ok());
        assert!(ports.check(&Settings { management: true, ..Settings::new("x") }).is_err());
    }
}

//! File descriptors: each connection is one.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// What the process opens beside its clients' connections: stores, brokers, logs.
const OTHERS: u64 = 128;

/// Raises this process's own limit as far as `connections` need it and the system lets it, and tells how many can be
/// had.
pub(super) fn allow(connections: usize) -> usize {
    let needed = (connections as u64).saturating_add(OTHERS);
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return connections };
    let wanted = needed.min(hard);
    let now = if wanted > soft && setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).is_ok() { wanted } else { soft };
    if now >= needed {
        return connections;
    }
    let possible = usize::try_from(now.saturating_sub(OTHERS)).unwrap_or(usize::MAX).max(1);
    tracing::warn!(max_connections = possible, "fewer connections than asked for: `ulimit -n` allows no more files");
    possible
}

//! File descriptors: each connection, and each pipe to another process, is one.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// What a process opens beside what its work needs: stores, brokers, logs.
const OTHERS: u64 = 128;

/// Raises this process's own limit as far as `needed` files for its work need it and the system lets it. Returns how
/// many of those can be had; where the limit is not known, all.
#[must_use]
pub fn allow(needed: usize) -> usize {
    let wanted = (needed as u64).saturating_add(OTHERS);
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return needed };
    let possible = wanted.min(hard);
    let raised = possible > soft && setrlimit(Resource::RLIMIT_NOFILE, possible, hard).is_ok();
    let now = if raised { possible } else { soft };
    usize::try_from(now.saturating_sub(OTHERS)).unwrap_or(usize::MAX).min(needed)
}

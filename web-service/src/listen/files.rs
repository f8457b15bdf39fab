//! File descriptors: each connection is one.

use warren_messaging::files;

/// How many of these connections can be had.
pub(super) fn allow(connections: usize) -> usize {
    let possible = files::allow(connections).max(1);
    if possible < connections {
        tracing::warn!(
            max_connections = possible,
            "fewer connections than asked for: `ulimit -n` allows no more files"
        );
    }
    possible
}

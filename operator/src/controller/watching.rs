//! Watches that fail are tried again by themselves; here they are made heard, since a denied watch is otherwise silent.

use kube::runtime::watcher;
use warren_messaging::error_chain::Chain;

/// What every watch begins with: a list in pages this small. A page is decoded as a whole, and what 500 Deployments take
/// for a moment (kube's default) stays with the process for good.
const PAGE: u32 = 50;

/// The configuration of every watch.
pub(super) fn config() -> watcher::Config {
    watcher::Config::default().page_size(PAGE)
}

/// The object that a watch of `what` delivered; a failure is logged and nothing.
pub(super) fn seen<K>(what: &str, delivered: Result<K, watcher::Error>) -> Option<K> {
    delivered.inspect_err(|error| complain(what, error)).ok()
}

/// Logs that a watch of `what` failed.
pub(super) fn complain(what: &str, error: &watcher::Error) {
    tracing::warn!(
        "cannot watch {what}: {}; trying again (if it is forbidden, compare the operator's role with the chart's)",
        Chain(error)
    );
}

//! Work beside the runtime of a test.

use std::{future::Future, thread};
use tokio::runtime;

/// Runs it on a thread and runtime of its own: a test's runtime cannot block, and ends before a shared server does.
pub(crate) fn away_from_this_runtime<T: Send>(work: impl Future<Output = T> + Send) -> T {
    let run = || {
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a thread can have a runtime").block_on(work)
    };
    thread::scope(|scope| scope.spawn(run).join()).unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

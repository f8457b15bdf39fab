//! What a user of the library writes.

use crate::{Outcome, Work};
use std::future::Future;

/// Does the work of one request.
///
/// Write it as an `async fn`:
///
/// ```
/// use warren_processor::{Handler, Outcome, Work};
///
/// struct Double;
///
/// impl Handler for Double {
///     async fn handle(&self, work: Work<'_>) -> Outcome {
///         match work.parse::<f64>() {
///             Ok(number) => Outcome::done(&(number * 2.0)),
///             Err(error) => Outcome::never(error),
///         }
///     }
/// }
/// ```
///
/// It runs for up to the worker's concurrency of requests at once. When an attempt's time is up, its future is
/// dropped: what must not be left behind belongs in a `Drop`. A panic counts as [`Outcome::Again`]. Work that
/// keeps a thread busy belongs in `tokio::task::spawn_blocking`; otherwise it stops everything else, and no
/// timeout can end it.
pub trait Handler: Send + Sync + 'static {
    /// One attempt at one request.
    fn handle(&self, work: Work<'_>) -> impl Future<Output = Outcome> + Send;
}

//! Waiting for a condition, with a deadline.

use std::{
    fmt::{Debug, Display},
    panic::Location,
    time::Duration,
};
use tokio::time::{Instant, sleep, timeout_at};

/// How long to wait between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// What one look saw: the value that was waited for, or why it is not there yet.
pub trait Sighting {
    /// What is waited for.
    type Value;

    /// The value, or what was seen instead.
    ///
    /// # Errors
    /// What was seen instead.
    fn settle(self) -> Result<Self::Value, String>;
}

impl<T> Sighting for Option<T> {
    type Value = T;

    fn settle(self) -> Result<T, String> {
        self.ok_or_else(|| "nothing".to_owned())
    }
}

impl<T, E: Display> Sighting for Result<T, E> {
    type Value = T;

    fn settle(self) -> Result<T, String> {
        self.map_err(|seen| seen.to_string())
    }
}

impl Sighting for bool {
    type Value = ();

    fn settle(self) -> Result<(), String> {
        self.then_some(()).ok_or_else(|| "false".to_owned())
    }
}

/// Looks every 20 ms until a look gives `Some`, `Ok` or `true`. `what` completes the sentence "waited for …".
///
/// # Panics
/// At the deadline, at the caller's place, with `what` and what was last seen. A look that hangs ends there too.
#[track_caller]
pub fn eventually<S: Sighting>(
    what: &str,
    deadline: Duration,
    look: impl AsyncFnMut() -> S,
) -> impl Future<Output = S::Value> {
    poll(what, deadline, look, Location::caller())
}

async fn poll<S: Sighting>(
    what: &str,
    patience: Duration,
    mut look: impl AsyncFnMut() -> S,
    place: &Location<'_>,
) -> S::Value {
    let deadline = Instant::now() + patience;
    let mut seen = "no look was finished".to_owned();
    loop {
        match timeout_at(deadline, look()).await.map(Sighting::settle) {
            Ok(Ok(value)) => return value,
            Ok(Err(instead)) => seen = instead,
            Err(_) => seen.push_str(" (and the last look did not finish)"),
        }
        assert!(Instant::now() < deadline, "{place}: waited {patience:?} for {what}, but last saw: {seen}");
        sleep(PAUSE).await;
    }
}

/// `Ok(value)` if it is as wanted, otherwise what it is: for a look in [`eventually`](eventually()).
///
/// # Errors
/// The value's debug form.
pub fn when<T: Debug>(value: T, is_wanted: impl FnOnce(&T) -> bool) -> Result<T, String> {
    if is_wanted(&value) { Ok(value) } else { Err(format!("{value:?}")) }
}

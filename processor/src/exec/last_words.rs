//! What a command last wrote to its standard error. An attempt whose time is up drops its handler; the words outlast
//! that, for they tell best what it was doing.

use crate::excerpt::Tail;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::io::{AsyncRead, AsyncReadExt as _};

tokio::task_local! {
    static HEARD: Heard;
}

/// What a child last wrote to its standard error.
#[derive(Clone, Debug, Default)]
pub(crate) struct LastWords(Arc<Mutex<Tail>>);

impl LastWords {
    /// Has them told, should the time of the attempt that runs here be up.
    pub(crate) fn speak_for_the_attempt(&self) {
        // A handler that is called outside of an attempt has no time to be up.
        let _ = HEARD.try_with(|heard| *locked(&heard.0) = Some(self.clone()));
    }

    /// Listens until the child closes its standard error.
    pub(crate) async fn listen(&self, mut stderr: impl AsyncRead + Unpin) {
        let mut bytes = [0; 1024];
        while let Ok(read @ 1..) = stderr.read(&mut bytes).await {
            locked(&self.0).push(&bytes[..read]);
        }
    }

    /// The last 2 KiB.
    pub(crate) fn text(&self) -> String {
        locked(&self.0).text()
    }

    /// `what`, followed by what the child said last.
    pub(crate) fn after(&self, what: &str) -> String {
        match self.text() {
            silence if silence.is_empty() => what.to_owned(),
            words => format!("{what}: {words}"),
        }
    }
}

/// Whose words tell of an attempt, once there is somebody.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard(Arc<Mutex<Option<LastWords>>>);

impl Heard {
    /// Runs an attempt, and hears who speaks for it.
    pub(crate) async fn during<F: Future>(&self, attempt: F) -> F::Output {
        HEARD.scope(self.clone(), attempt).await
    }

    /// `what`, followed by what was said last.
    pub(crate) fn after(&self, what: &str) -> String {
        locked(&self.0).clone().unwrap_or_default().after(what)
    }
}

/// Nothing that holds a lock leaves a thing half-changed, so a panic elsewhere does not spoil it.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

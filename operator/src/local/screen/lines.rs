//! Lines on their way to the screen. Our own are few and never wait; those of the processes have so many places.

use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// How many lines of processes may be on their way.
const PLACES: usize = 1000;

/// Where lines are given in. Clones share it.
#[derive(Clone)]
pub(super) struct Lines {
    sender: mpsc::UnboundedSender<Line>,
    places: Arc<Semaphore>,
}

/// A line, whose place is free when it is printed.
pub(super) struct Line {
    pub(super) text: String,
    _place: Option<OwnedSemaphorePermit>,
}

/// A queue of none, and where lines come out.
pub(super) fn queue() -> (Lines, mpsc::UnboundedReceiver<Line>) {
    let (sender, lines) = mpsc::unbounded_channel();
    (Lines { sender, places: Arc::new(Semaphore::new(PLACES)) }, lines)
}

impl Lines {
    /// Waits for a place.
    pub(super) async fn place(&self) -> Option<OwnedSemaphorePermit> {
        self.places.clone().acquire_owned().await.ok()
    }

    /// Gives in a line, and its place if it needs one; gives it back where nobody prints it any more.
    pub(super) fn send(&self, text: String, place: Option<OwnedSemaphorePermit>) -> Result<(), String> {
        self.sender.send(Line { text, _place: place }).map_err(|error| error.0.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;

    #[tokio::test]
    async fn a_process_that_floods_waits_until_its_lines_are_printed_and_we_do_not() {
        let (lines, mut printed) = queue();
        for number in 0..PLACES {
            let place = lines.place().await;
            lines.send(number.to_string(), place).expect("is taken");
        }
        assert!(lines.place().now_or_never().is_none(), "there is no place");
        lines.send("our own".into(), None).expect("is taken");
        assert_eq!(printed.recv().await.map(|line| line.text).as_deref(), Some("0"));
        assert!(lines.place().now_or_never().flatten().is_some(), "one was printed");
    }
}

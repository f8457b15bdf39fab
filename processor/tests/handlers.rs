//! Handlers that do what a test says.

use std::{collections::HashMap, sync::Mutex};
use tokio::sync::{mpsc, watch};
use warren_processor::{Handler, Outcome, Work};

/// Answers each request with its data.
pub struct Echo;

impl Handler for Echo {
    async fn handle(&self, work: Work<'_>) -> Outcome {
        Outcome::done(work.data)
    }
}

/// Fails each attempt with the outcome that it was made with.
pub struct Fails(pub fn(u32) -> Outcome);

impl Handler for Fails {
    async fn handle(&self, work: Work<'_>) -> Outcome {
        (self.0)(work.attempt)
    }
}

/// Tells of each attempt when it begins, and finishes it when the gate opens.
pub struct Gated {
    begun: mpsc::UnboundedSender<String>,
    gate: watch::Receiver<bool>,
    times: Mutex<HashMap<String, u32>>,
    end: fn(u32) -> Outcome,
}

/// The test's side of [`Gated`].
pub struct Gate {
    begun: mpsc::UnboundedReceiver<String>,
    gate: watch::Sender<bool>,
}

/// Ends with how often the request was run.
pub fn gated() -> (Gated, Gate) {
    gated_with(|time| Outcome::done(&format!("run {time}")))
}

/// Fails for now, each time.
pub fn gated_failure() -> (Gated, Gate) {
    gated_with(|time| Outcome::again(format_args!("run {time} failed")))
}

fn gated_with(end: fn(u32) -> Outcome) -> (Gated, Gate) {
    let ((begun, begins), (gate, opened)) = (mpsc::unbounded_channel(), watch::channel(false));
    (Gated { begun, gate: opened, times: Mutex::default(), end }, Gate { begun: begins, gate })
}

impl Gate {
    /// The id of the next attempt that begins.
    pub async fn begins(&mut self) -> String {
        let next = tokio::time::timeout(crate::pipeline::DEADLINE, self.begun.recv());
        next.await.expect("an attempt begins in time").expect("the handler lives")
    }

    /// Whether nothing more has begun.
    pub fn nothing_begun(&mut self) -> bool {
        self.begun.try_recv().is_err()
    }

    pub fn open(&self) {
        self.gate.send_replace(true);
    }
}

impl Handler for Gated {
    async fn handle(&self, work: Work<'_>) -> Outcome {
        let id = work.request_id.to_string();
        let time = {
            let mut times = self.times.lock().expect("nobody panicked");
            let times = times.entry(id.clone()).or_default();
            *times += 1;
            *times
        };
        // A test that has heard enough is no failure.
        let _ = self.begun.send(id);
        let mut gate = self.gate.clone();
        gate.wait_for(|open| *open).await.expect("the test lives");
        (self.end)(time)
    }
}

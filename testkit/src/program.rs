//! One of the project's binaries as a child process.

mod output;

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use output::Output;
use std::{
    panic::Location,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};
use tokio::time::sleep;

/// How long to wait between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// A running program whose output is kept in memory, and printed when the test fails. Killed when dropped. It stays in
/// the terminal's process group, so that Ctrl-C ends it with the tests.
#[derive(Debug)]
pub struct Program {
    name: String,
    child: Child,
    output: Output,
}

impl Program {
    /// Starts it; the path is the caller's `env!("CARGO_BIN_EXE_…")`.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(mut command: Command) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let output = Output::of(&mut child);
        Self { name, child, output }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has written so far to standard output and standard error, in the order of arrival.
    #[must_use]
    pub fn output(&self) -> String {
        self.output.lines().join("\n")
    }

    /// Waits for a line that contains this text, and gives the first one. Lines that came before count.
    ///
    /// # Panics
    /// At the deadline, or when the program has ended and there is no such line.
    #[track_caller]
    pub fn wait_for_line(&mut self, containing: &str, deadline: Duration) -> impl Future<Output = String> {
        self.look_for_line(containing, deadline, Location::caller())
    }

    async fn look_for_line(&mut self, text: &str, patience: Duration, place: &Location<'_>) -> String {
        let deadline = Instant::now() + patience;
        loop {
            // Before the lines are read: what it wrote last must not slip in between.
            let complete = self.output.is_complete();
            if let Some(line) = self.output.lines().into_iter().find(|line| line.contains(text)) {
                return line;
            }
            assert!(!complete, "{place}: {} ended its output without a line with {text:?}", self.name);
            assert!(Instant::now() < deadline, "{place}: no line with {text:?} from {} in {patience:?}", self.name);
            sleep(PAUSE).await;
        }
    }

    /// Sends it a signal. Nothing happens if it has ended.
    pub fn signal(&mut self, signal: Signal) {
        // Once it was waited for, its id may be another's.
        if self.exited().is_none() {
            let _ = kill(Pid::from_raw(self.child.id().cast_signed()), signal);
        }
    }

    /// Asks it to end (SIGTERM).
    pub fn terminate(&mut self) {
        self.signal(Signal::SIGTERM);
    }

    /// Kills it (`kill -9`). It is gone when this returns.
    pub fn kill9(&mut self) -> ExitStatus {
        self.signal(Signal::SIGKILL);
        self.child.wait().expect("a child that nobody else waits for can be waited for")
    }

    /// How it ended, if it has.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child that nobody else waits for can be waited for")
    }

    /// Waits until it has ended.
    ///
    /// # Panics
    /// At the deadline.
    #[track_caller]
    pub fn wait(&mut self, deadline: Duration) -> impl Future<Output = ExitStatus> {
        self.wait_until_exited(deadline, Location::caller())
    }

    async fn wait_until_exited(&mut self, patience: Duration, place: &Location<'_>) -> ExitStatus {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.exited() {
                return status;
            }
            assert!(Instant::now() < deadline, "{place}: {} still runs after {patience:?}", self.name);
            sleep(PAUSE).await;
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let ended = self.exited();
        self.kill9();
        if thread::panicking() {
            let state = ended.map_or("still running".to_owned(), |status| status.to_string());
            eprintln!("--- output of {} ({state}):\n{}\n---", self.name, self.output());
        }
    }
}

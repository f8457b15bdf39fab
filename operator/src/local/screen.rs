//! What a person sees while `local` runs: lines as they come and, on a terminal, a panel below them that is always
//! up to date.

mod lines;
mod live;
mod panel;
mod plain;

use super::board::Board;
use lines::Lines;
use std::io::{self, IsTerminal as _, Write};
use std::sync::{LazyLock, Mutex, PoisonError};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use warren_messaging::logging::LogSettings;

/// Where every line goes, whoever prints it: a panel can only stay below the lines if all of them pass by it.
static LINES: LazyLock<Mutex<Option<Lines>>> = LazyLock::new(|| Mutex::new(None));

/// Prints a line of our own above the panel; before there is a screen, and after it, to standard error.
pub fn print(line: &str) {
    let lines = lines();
    let left = lines.map_or(Err(line.to_owned()), |lines| lines.send(line.to_owned(), None));
    if let Err(line) = left {
        // A terminal that went away is no reason to end, as `eprintln` would by a panic.
        let _ = writeln!(io::stderr(), "{line}");
    }
}

/// Prints a line of a process, once there is room: one that floods us waits for the screen.
pub async fn print_in_turn(line: &str) {
    let Some(lines) = lines() else { return print(line) };
    let place = lines.place().await;
    if let Err(line) = lines.send(line.to_owned(), place) {
        print(&line);
    }
}

fn lines() -> Option<Lines> {
    LINES.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// The screen.
pub struct Screen {
    stop: CancellationToken,
    drawing: JoinHandle<()>,
}

impl Screen {
    /// Starts drawing, with room for so many pipelines, and logging to it.
    ///
    /// # Errors
    /// The log filter cannot be read, or the terminal cannot be drawn on.
    pub fn start(
        log: &LogSettings,
        board: Board,
        pipelines: usize,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let terminal = io::stderr().is_terminal() && io::stdout().is_terminal();
        log.start_plain(LineWriter::default)?;
        let (sender, lines) = lines::queue();
        *LINES.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        let stop = CancellationToken::new();
        let drawing = if terminal {
            tokio::spawn(live::draw(live::open(pipelines)?, lines, board, stop.clone()))
        } else {
            tokio::spawn(plain::draw(lines, board, stop.clone()))
        };
        Ok(Self { stop, drawing })
    }

    /// Draws what is left, and gives the terminal back.
    pub async fn end(self) {
        *LINES.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.stop.cancel();
        let _ = self.drawing.await;
    }
}

/// Collects what tracing writes and prints it line by line.
#[derive(Default)]
struct LineWriter {
    text: Vec<u8>,
}

impl Write for LineWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for LineWriter {
    fn drop(&mut self) {
        for line in String::from_utf8_lossy(&self.text).lines() {
            print(line);
        }
    }
}

//! For a log: every line as it comes, and a line per pipeline when it has changed.

use super::{lines::Line, panel};
use crate::local::board::{Board, State};
use std::{
    collections::BTreeMap,
    io::{self, Write as _},
    time::Duration,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// The shortest time between two lines about one pipeline.
const INTERVAL: Duration = Duration::from_secs(2);

pub(super) async fn draw(mut lines: mpsc::UnboundedReceiver<Line>, board: Board, stop: CancellationToken) {
    let mut said = BTreeMap::new();
    let mut interval = tokio::time::interval(INTERVAL);
    loop {
        tokio::select! {
            // Lines first, and all of them before the end.
            biased;
            line = lines.recv() => match line {
                Some(line) => write(&line.text),
                None => return,
            },
            () = stop.cancelled() => return,
            _ = interval.tick() => say(&board.state(), &mut said),
        }
    }
}

/// A reader that went away is no reason to end, as `println` would by a panic.
fn write(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

fn say(state: &State, said: &mut BTreeMap<String, String>) {
    for (name, pipeline) in &state.pipelines {
        let mut line = format!("{name}: {} · {}", panel::headline(state, name, pipeline), panel::queues(pipeline));
        if let Some(last) = pipeline.outcomes.first() {
            line = format!("{line} · last: {last}");
        }
        if said.get(name) != Some(&line) {
            write(&line);
            said.insert(name.clone(), line);
        }
    }
}

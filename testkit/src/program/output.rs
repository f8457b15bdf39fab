//! The output of a program, read in the background so that it never waits for its reader.

use std::{
    io::{BufRead, BufReader, Read},
    process::Child,
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
};

type Lines = Arc<Mutex<Vec<String>>>;

/// The lines so far.
#[derive(Debug)]
pub(super) struct Output {
    lines: Lines,
    readers: [JoinHandle<()>; 2],
}

impl Output {
    /// Starts to read.
    pub(super) fn of(child: &mut Child) -> Self {
        let lines = Lines::default();
        let stdout = child.stdout.take().expect("standard output was piped");
        let stderr = child.stderr.take().expect("standard error was piped");
        let readers = [read(stdout, &lines), read(stderr, &lines)];
        Self { lines, readers }
    }

    /// A copy of the lines so far.
    pub(super) fn lines(&self) -> Vec<String> {
        // A line is pushed whole or not at all, so a poisoned lock guards nothing broken.
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether nobody can write any more.
    pub(super) fn is_complete(&self) -> bool {
        self.readers.iter().all(JoinHandle::is_finished)
    }
}

fn read(pipe: impl Read + Send + 'static, lines: &Lines) -> JoinHandle<()> {
    let lines = lines.clone();
    thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).into_owned();
            lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
    })
}

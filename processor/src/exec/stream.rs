//! Commands that stay: a request per line in, an answer per line out, for work whose start is costly.
//!
//! There are never more of them than requests in work, since each request takes one of the idle ones, or starts
//! one, and gives it back after its answer. Whatever goes wrong on the way drops the child, which kills it.

mod companion;
mod starts;

use super::{answer::read_line, command::Command};
use crate::{Handler, Outcome, Work, excerpt};
use companion::{Companion, Reply};
use starts::Starts;
use std::sync::{Mutex, PoisonError};

/// Keeps commands running and talks to them in lines.
#[derive(Debug)]
pub(crate) struct Stream {
    command: Command,
    max_result_bytes: usize,
    idle: Mutex<Vec<Companion>>,
    starts: Starts,
}

impl Handler for Stream {
    async fn handle(&self, work: Work<'_>) -> Outcome {
        let mut companion = match self.companion().await {
            Ok(companion) => companion,
            Err(outcome) => return outcome,
        };
        match companion.ask(&work, self.max_result_bytes).await {
            Reply::Line(line) => self.understand(&line, companion),
            Reply::TooLong => {
                let limit = self.max_result_bytes;
                Outcome::never(format_args!("the answer is larger than {limit} bytes: {}", super::answer::MOVED))
            }
            Reply::Ended => {
                self.starts.failed();
                Outcome::again(companion.how_it_ended().await)
            }
        }
    }
}

impl Stream {
    pub(crate) fn new(command: Command, max_result_bytes: usize) -> Self {
        Self { command, max_result_bytes, idle: Mutex::default(), starts: Starts::default() }
    }

    /// An idle one that still lives, or a new one. A crash makes the next start wait.
    async fn companion(&self) -> Result<Companion, Outcome> {
        while let Some(mut companion) = self.take_idle() {
            if companion.is_alive() {
                return Ok(companion);
            }
            tracing::debug!("an idle `{}` ended by itself", self.command.program());
        }
        self.starts.permitted().await;
        Companion::start(&self.command).map_err(|error| {
            self.starts.failed();
            Outcome::again(self.command.gone(&error))
        })
    }

    fn understand(&self, line: &[u8], companion: Companion) -> Outcome {
        let Some(outcome) = read_line(line) else {
            // Nobody knows what it would say next: dropped, so killed.
            let shown = excerpt::beginning(line);
            return Outcome::never(format_args!(
                "the command answered no {{\"result\": …}} or {{\"error\": …, \"retry\": …}}, but {shown}"
            ));
        };
        self.starts.succeeded();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(companion);
        outcome
    }

    fn take_idle(&self) -> Option<Companion> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }
}

//! One process per request: its data on standard input, the result on standard output.

use super::{
    answer::{MOVED, judge},
    child::{Child, Pipes},
    command::Command,
    last_words::LastWords,
};
use crate::{Handler, Outcome, Work};
use std::{pin::pin, process::ExitStatus, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};
use warren_messaging::request_id::RequestId;

/// How long the pipes of a command that has ended may still bring something.
const PATIENCE: Duration = Duration::from_secs(1);

/// Runs a command once per request.
#[derive(Debug)]
pub(crate) struct PerMessage {
    pub(crate) command: Command,
    pub(crate) max_result_bytes: usize,
}

impl Handler for PerMessage {
    async fn handle(&self, work: Work<'_>) -> Outcome {
        let mut command = self.command.prepare();
        command.env("WARREN_REQUEST_ID", work.request_id.to_string()).env("WARREN_ATTEMPT", work.attempt.to_string());
        match work.traceparent {
            Some(traceparent) => command.env("TRACEPARENT", traceparent),
            None => command.env_remove("TRACEPARENT"),
        };
        match Child::start(&mut command) {
            Ok((child, pipes)) => self.finish(child, pipes, work).await,
            Err(error) => Outcome::again(self.command.gone(&error)),
        }
    }
}

impl PerMessage {
    async fn finish(&self, mut child: Child, pipes: Pipes, work: Work<'_>) -> Outcome {
        let (words, mut stdout) = (LastWords::default(), Vec::new());
        words.speak_for_the_attempt();
        let ended = {
            let (reading, listening) = (self.read(pipes.stdout, &mut stdout), words.listen(pipes.stderr));
            let mut talking = pin!(async { tokio::join!(feed(pipes.stdin, work.data.get()), reading, listening) });
            tokio::select! {
                _ = &mut talking => child.ended().await,
                ended = child.ended() => {
                    // What it left running in the background may hold the pipes for ever.
                    let _ = timeout(PATIENCE, talking).await;
                    ended
                }
            }
        };
        if ended.is_ok() {
            child.spare_the_rest();
        }
        if stdout.len() > self.max_result_bytes {
            let limit = self.max_result_bytes;
            return Outcome::never(format_args!("the result is larger than {limit} bytes: {MOVED}"));
        }
        match ended {
            Ok(status) => self.outcome(status, &stdout, &words, work.request_id),
            Err(error) => Outcome::again(format_args!("cannot wait for `{}`: {error}", self.command.program())),
        }
    }

    /// All that the command says, or one byte more than is allowed.
    async fn read(&self, stdout: impl tokio::io::AsyncRead + Unpin, bytes: &mut Vec<u8>) {
        let beyond = u64::try_from(self.max_result_bytes).unwrap_or(u64::MAX).saturating_add(1);
        // A pipe that fails is one that ended.
        let _ = stdout.take(beyond).read_to_end(bytes).await;
    }

    fn outcome(&self, status: ExitStatus, stdout: &[u8], words: &LastWords, id: &RequestId) -> Outcome {
        let stderr = words.text();
        if !stderr.is_empty() {
            tracing::debug!(request_id = id.as_json(), stderr, "the command's standard error");
        }
        judge(status, stdout, words)
    }
}

/// Writes all of `data`. A command need not read it: then the pipe breaks, and that is that.
async fn feed(mut stdin: impl tokio::io::AsyncWrite + Unpin, data: &str) {
    let _ = stdin.write_all(data.as_bytes()).await;
}

//! One running command of the streaming kind.

use crate::{
    Work,
    exec::{child::Child, command::Command, last_words::LastWords},
};
use futures::FutureExt as _;
use serde::Serialize;
use serde_json::value::RawValue;
use std::{io, os::unix::process::ExitStatusExt as _, pin::pin, time::Duration};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    process::{ChildStdin, ChildStdout},
    task::JoinHandle,
    time::timeout,
};
use warren_messaging::request_id::RequestId;

/// How long a command that closed its output may take to end before it is killed, and the pipes of one that has ended
/// may still bring something.
const PATIENCE: Duration = Duration::from_secs(1);

/// One running command.
#[derive(Debug)]
pub(super) struct Companion {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    words: LastWords,
    listening: JoinHandle<()>,
}

impl Drop for Companion {
    fn drop(&mut self) {
        // Otherwise a grandchild that kept standard error open would keep the task.
        self.listening.abort();
    }
}

/// What came back for a request.
pub(super) enum Reply {
    /// A line, without its end.
    Line(Vec<u8>),
    /// More than is allowed, and no end of line.
    TooLong,
    /// It ended, or closed its output, before it had answered.
    Ended,
}

/// A request as the command reads it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Question<'a> {
    request_id: &'a RequestId,
    attempt: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<&'a str>,
    data: &'a RawValue,
}

impl Companion {
    pub(super) fn start(command: &Command) -> io::Result<Self> {
        let (child, pipes) = Child::start(&mut command.prepare())?;
        let words = LastWords::default();
        let listener = words.clone();
        let listening = tokio::spawn(async move { listener.listen(pipes.stderr).await });
        Ok(Self { child, stdin: pipes.stdin, stdout: BufReader::new(pipes.stdout), words, listening })
    }

    /// Whether it still runs and has said nothing unasked. Otherwise it is to be dropped, which kills what it left.
    pub(super) fn is_alive(&mut self) -> bool {
        // A line that nobody asked for would be taken for the next request's answer.
        let silent = self.stdout.fill_buf().now_or_never().is_none();
        silent && self.child.runs()
    }

    /// One line to it, one line back. Both at once: it may answer before it has read all.
    pub(super) async fn ask(&mut self, work: &Work<'_>, max_bytes: usize) -> Reply {
        let question = question(work);
        self.words.speak_for_the_attempt();
        let Self { child, stdin, stdout, .. } = self;
        // A pipe that breaks shows itself by the missing answer.
        let asking = async { stdin.write_all(&question).await.is_ok() };
        let mut talking = pin!(async { tokio::join!(asking, answer(stdout, max_bytes)).1 });
        tokio::select! {
            reply = &mut talking => reply,
            _ = child.ended() => {
                // Its last words may still be on their way; what it left running may hold the pipes for ever.
                let reply = timeout(PATIENCE, talking).await.unwrap_or(Reply::Ended);
                child.kill_the_rest();
                reply
            }
        }
    }

    /// Why there was no answer, in words.
    pub(super) async fn how_it_ended(mut self) -> String {
        let what = match timeout(PATIENCE, self.child.ended()).await {
            Ok(Ok(status)) => match (status.code(), status.signal()) {
                (Some(code), _) => format!("the command ended with exit code {code} before it answered"),
                (None, signal) => {
                    format!("the command was killed by signal {} before it answered", signal.unwrap_or_default())
                }
            },
            _ => "the command closed its output before it answered".to_owned(),
        };
        self.child.kill_the_rest();
        // What it said last may still be on its way.
        let _ = timeout(PATIENCE, &mut self.listening).await;
        let words = self.words.after(&what);
        tracing::debug!(stderr = self.words.text(), "the command's standard error");
        words
    }
}

fn question(work: &Work<'_>) -> Vec<u8> {
    let Work { request_id, attempt, traceparent, data, .. } = *work;
    let question = Question { request_id, attempt, traceparent, data };
    let mut line = serde_json::to_vec(&question).expect("strings, numbers and raw JSON always serialise");
    // Data is kept as its sender wrote it, and may be spread over lines; between its tokens a blank is as good.
    line.iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')).for_each(|byte| *byte = b' ');
    line.push(b'\n');
    line
}

async fn answer(stdout: &mut BufReader<ChildStdout>, max_bytes: usize) -> Reply {
    let mut line = Vec::new();
    let beyond = u64::try_from(max_bytes).unwrap_or(u64::MAX).saturating_add(1);
    let read = stdout.take(beyond).read_until(b'\n', &mut line).await;
    if line.last() == Some(&b'\n') {
        line.pop();
        return Reply::Line(line);
    }
    if read.is_ok() && line.len() > max_bytes { Reply::TooLong } else { Reply::Ended }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_one_line_however_its_data_was_written() {
        let id = RequestId::from_json("7").expect("is an id");
        let data: &RawValue = serde_json::from_str("{\n  \"a\":\r\n \"x\\ny\"\n}").expect("is JSON");
        let work = Work { request_id: &id, attempt: 2, data, traceparent: None, deadline: None };
        let line = String::from_utf8(question(&work)).expect("is UTF-8");
        assert_eq!(line.matches('\n').count(), 1);
        assert_eq!(line.trim_end(), r#"{"requestId":7,"attempt":2,"data":{   "a":   "x\ny" }}"#);
    }
}

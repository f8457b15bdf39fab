//! One child process: started in a group of its own, its output passed on line by line, ended in order.

use super::{mark::Mark, pod::Program, screen, workspace::Workspace};
use crate::build::environment::POSTGRES_URL;
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use std::{io, process::Stdio, time::Duration};
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader},
    process::{Child, Command},
};
use tokio_util::sync::CancellationToken;

/// The most bytes of output that are printed as one line.
const LONGEST_LINE: u64 = 16 * 1024;

/// A running child. Dropping it kills it.
pub struct Process {
    child: Child,
    group: Option<Pid>,
    mark: Mark,
}

impl Process {
    /// Starts a program. It does not get the terminal's Ctrl-C: `local` decides who ends when.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn start(program: &Program, name: &str, workspace: &Workspace) -> io::Result<Self> {
        let (first, rest) = program.words.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let mark = Mark::new(workspace, name);
        let (variable, value) = mark.variable();
        let mut child = Command::new(first)
            .args(rest)
            // It is for the pipelines that name a database: others keep their file.
            .env_remove(POSTGRES_URL)
            .envs(&program.variables)
            .env("WARREN_LOG_FORMAT", "pretty")
            .env(variable, value)
            .current_dir(&program.directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        if let Some(pid) = child.id() {
            workspace.note(pid);
        }
        pass_on(child.stdout.take(), name);
        pass_on(child.stderr.take(), name);
        let group = child.id().and_then(|pid| i32::try_from(pid).ok()).map(Pid::from_raw);
        Ok(Self { child, group, mark })
    }

    /// Waits until it ends by itself, and kills what it has started and left behind; says how it ended.
    pub async fn ended(&mut self) -> String {
        let status = self.child.wait().await;
        self.kill().await;
        match status {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        }
    }

    /// Asks it to end and waits for that, at most for `grace` and not beyond `abort`; then kills it, and in any case
    /// whatever it has started.
    pub async fn stop(mut self, grace: Duration, abort: &CancellationToken) {
        self.signal(Signal::SIGTERM);
        let ending = tokio::time::timeout(grace, self.child.wait());
        let _ = abort.run_until_cancelled(ending).await;
        self.kill().await;
    }

    /// Kills it and all that came from it: its group, and who has left that, as the commands of a processor do.
    async fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        let _ = self.child.wait().await;
        self.mark.end_all().await;
    }

    /// A request to end goes to the process alone, which knows what to do with its own; a kill to its whole group.
    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            let sent = match signal {
                Signal::SIGTERM => nix::sys::signal::kill(group, signal),
                _ => killpg(group, signal),
            };
            if let Err(error) = sent {
                tracing::debug!(%error, %signal, "the process has already ended");
            }
        }
    }
}

fn pass_on(output: Option<impl AsyncRead + Unpin + Send + 'static>, name: &str) {
    let Some(output) = output else { return };
    let name = name.to_owned();
    tokio::spawn(async move {
        let mut output = BufReader::new(output);
        while let Some(line) = next_line(&mut output).await {
            screen::print_in_turn(&format!("{name} │ {}", String::from_utf8_lossy(&line).trim_end())).await;
        }
    });
}

/// The next line, or the next piece of a long one: a process may write for ever without ending its line.
async fn next_line(output: &mut (impl AsyncBufRead + Unpin)) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    let read = output.take(LONGEST_LINE).read_until(b'\n', &mut line).await.ok()?;
    (read > 0).then_some(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use warren_testkit::eventually;

    const SOON: Duration = Duration::from_secs(20);

    fn shell(script: &str, directory: &Path) -> Program {
        let words = ["sh", "-c", script].map(str::to_owned).to_vec();
        Program { words, variables: Default::default(), directory: directory.to_owned() }
    }

    #[tokio::test]
    async fn a_line_without_end_is_printed_in_pieces() {
        let text = [&[b'x'; 40 * 1024][..], b"\nnext"].concat();
        let (mut output, mut pieces) = (BufReader::new(&text[..]), Vec::new());
        while let Some(line) = next_line(&mut output).await {
            pieces.push(line.len());
        }
        assert_eq!(pieces, [16 * 1024, 16 * 1024, 8 * 1024 + 1, 4]);
    }

    async fn child(directory: &Path) -> String {
        eventually("the child's id", SOON, async || {
            let id = std::fs::read_to_string(directory.join("child")).map_err(|error| error.to_string())?;
            if id.ends_with('\n') { Ok(id.trim().to_owned()) } else { Err(id) }
        })
        .await
    }

    /// A zombie, whom nobody has asked for yet, counts as gone.
    async fn is_gone(id: &str) {
        eventually("the child to end", SOON, async || {
            let status = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
            let state = status.rsplit(") ").next().unwrap_or_default().chars().next();
            if matches!(state, None | Some('Z' | 'X')) { Ok(()) } else { Err(status) }
        })
        .await;
    }

    #[tokio::test]
    async fn what_a_process_has_started_ends_with_it_however_it_ends() {
        let directory = tempfile::tempdir().expect("a directory");
        let workspace = Workspace::open(directory.path()).await.expect("opens");
        let start = |script| Process::start(&shell(script, directory.path()), "p", &workspace).expect("starts");
        let mut ends_itself = start("sleep 1000 & echo $! >child; exit 3");
        assert_eq!(ends_itself.ended().await, "exit status: 3");
        is_gone(&child(directory.path()).await).await;

        std::fs::remove_file(directory.path().join("child")).expect("is removed");
        let is_stopped = start("sleep 1000 & echo $! >child; wait");
        let left = child(directory.path()).await;
        is_stopped.stop(SOON, &CancellationToken::new()).await;
        is_gone(&left).await;
    }
}

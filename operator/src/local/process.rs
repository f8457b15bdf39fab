//! One child process: started in a group of its own, its output passed on line by line, ended in order.

use super::{pod::Program, screen, workspace::Workspace};
use crate::build::environment::POSTGRES_URL;
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use std::{io, process::Stdio, time::Duration};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, BufReader},
    process::{Child, Command},
};
use tokio_util::sync::CancellationToken;

/// A running child. Dropping it kills it.
pub struct Process {
    child: Child,
    group: Option<Pid>,
}

impl Process {
    /// Starts a program. It does not get the terminal's Ctrl-C: `local` decides who ends when.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn start(program: &Program, name: &str, workspace: &Workspace) -> io::Result<Self> {
        let (first, rest) = program.words.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let mut child = Command::new(first)
            .args(rest)
            // It is for the pipelines that name a database: others keep their file.
            .env_remove(POSTGRES_URL)
            .envs(&program.variables)
            .env("WARREN_LOG_FORMAT", "pretty")
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
        Ok(Self { child, group })
    }

    /// Waits until it ends by itself; says how.
    pub async fn ended(&mut self) -> String {
        match self.child.wait().await {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        }
    }

    /// Asks it to end and waits for that, at most for `grace` and not beyond `abort`; then kills it, with whatever
    /// it has started.
    pub async fn stop(mut self, grace: Duration, abort: &CancellationToken) {
        self.signal(Signal::SIGTERM);
        let ending = tokio::time::timeout(grace, self.child.wait());
        let ended = abort.run_until_cancelled(ending).await;
        if !matches!(ended, Some(Ok(_))) {
            self.signal(Signal::SIGKILL);
            let _ = self.child.wait().await;
        }
    }

    /// To the process's own id first: a group is gone once its leader and all others are.
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
        let mut lines = BufReader::new(output).split(b'\n');
        while let Ok(Some(line)) = lines.next_segment().await {
            screen::print(&format!("{name} │ {}", String::from_utf8_lossy(&line).trim_end()));
        }
    });
}

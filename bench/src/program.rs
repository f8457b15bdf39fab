//! One of Warren's programs as a child process.

use crate::usage::Memory;
use anyhow::{Context as _, anyhow, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::process::{Child, Command};

/// How long a program may take to stop. It has nothing left to do by then.
const STOP: Duration = Duration::from_secs(10);

/// How many lines of a program's output an error shows.
const TAIL_LINES: usize = 30;

/// A running program. Dropping it kills it.
pub struct Program {
    name: &'static str,
    child: Child,
    pid: u32,
    log: PathBuf,
}

impl Program {
    /// Starts the program that lies beside this one, with these environment variables and no others.
    pub fn start(name: &'static str, variables: &[(&str, &str)], scratch: &Path) -> anyhow::Result<Self> {
        let path = std::env::current_exe()?.with_file_name(name);
        let log = scratch.join(format!("{name}.log"));
        let output = File::create(&log)?;
        let mut command = Command::new(&path);
        command.env_clear().envs(variables.iter().copied()).kill_on_drop(true);
        let child = command.stdout(output.try_clone()?).stderr(output).spawn();
        let child = child.with_context(|| format!("cannot start {}: build it first (make bench)", path.display()))?;
        let pid = child.id().context("it has just been started")?;
        Ok(Self { name, child, pid, log })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Its resident memory.
    pub fn memory(&self) -> anyhow::Result<Memory> {
        Memory::of(self.pid)
    }

    /// An error, with its output, if it has ended.
    pub fn check(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            Some(status) => Err(self.explain(anyhow!("{} ended early with {status}", self.name))),
            None => Ok(()),
        }
    }

    /// An error with the end of its output.
    pub fn explain(&self, error: anyhow::Error) -> anyhow::Error {
        let output = fs::read(&self.log).unwrap_or_default();
        let output = String::from_utf8_lossy(&output);
        let lines: Vec<_> = output.lines().collect();
        let tail = lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n");
        anyhow!("{error:#}\n\noutput of {}:\n{tail}", self.name)
    }

    /// Asks it to stop, and waits until it has.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.check()?;
        kill(Pid::from_raw(self.pid.try_into()?), Signal::SIGTERM)?;
        match tokio::time::timeout(STOP, self.child.wait()).await {
            Ok(status) if status.as_ref().is_ok_and(|status| status.success()) => Ok(()),
            Ok(status) => Err(self.explain(anyhow!("{} did not stop well: {status:?}", self.name))),
            Err(_) => bail!(self.explain(anyhow!("{} did not stop within {STOP:?}", self.name))),
        }
    }
}

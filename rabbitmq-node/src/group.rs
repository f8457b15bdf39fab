//! A child process that leads a process group of its own.

use crate::NodeError;
use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};
use std::{
    fs::File,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, Command, ExitStatus},
};

/// A child process that leads a process group of its own, so that Ctrl-C in the terminal does not reach it. Killed
/// when dropped.
#[derive(Debug)]
pub(crate) struct Group {
    child: Child,
}

impl Group {
    /// Starts it, with its output in the log.
    pub(crate) fn spawn(mut command: Command, log: File) -> Result<Self, NodeError> {
        let program = PathBuf::from(command.get_program());
        let failed = |source| NodeError::Spawn { program, source };
        let output = match log.try_clone() {
            Ok(output) => output,
            Err(error) => return Err(failed(error)),
        };
        let child = command.process_group(0).stdout(output).stderr(log).spawn().map_err(failed)?;
        Ok(Self { child })
    }

    /// Its process id, which is its group's too.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub(crate) fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child that nobody else waits for can be waited for")
    }

    /// Asks it to end.
    pub(crate) fn terminate(&mut self) {
        if self.exited().is_none() {
            // It can only fail because the process has just ended.
            let _ = kill(pid(&self.child), Signal::SIGTERM);
        }
    }

    /// Ends it at once, with its group.
    pub(crate) fn kill(&mut self) -> ExitStatus {
        // Once it was waited for, its id may be another's.
        if self.exited().is_none() {
            let _ = killpg(pid(&self.child), Signal::SIGKILL);
        }
        self.child.wait().expect("a child that nobody else waits for can be waited for")
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(child.id().cast_signed())
}

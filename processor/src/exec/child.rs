//! A child process that does not outlive whoever waits for it.

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use std::{io, process::ExitStatus};
use tokio::process::{self, ChildStderr, ChildStdin, ChildStdout, Command};

/// A child and its process group. Dropping it kills the group, whether the child itself still runs or not: a timeout
/// drops the future that holds it.
#[derive(Debug)]
pub(crate) struct Child {
    // Before `child`, so that the group is killed while the child is not yet reaped and its number still its own.
    group: Group,
    child: process::Child,
}

#[derive(Debug)]
struct Group(Option<Pid>);

impl Group {
    /// At most once: nobody else has the number while a member lives, but somebody may get it later.
    fn kill(&mut self) {
        if let Some(leader) = self.0.take() {
            // Gone already: then there is nothing to kill.
            let _ = killpg(leader, Signal::SIGKILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The parent's ends of a child's pipes.
pub(crate) struct Pipes {
    pub(crate) stdin: ChildStdin,
    pub(crate) stdout: ChildStdout,
    pub(crate) stderr: ChildStderr,
}

impl Child {
    /// Starts a command that was prepared with all three pipes.
    pub(crate) fn start(command: &mut Command) -> io::Result<(Self, Pipes)> {
        let mut child = command.spawn()?;
        let leader = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
        let (Some(stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(io::Error::other("started without its pipes"));
        };
        Ok((Self { group: Group(leader), child }, Pipes { stdin, stdout, stderr }))
    }

    /// Whether it has not ended yet.
    pub(crate) fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for its end. One of the two below says what becomes of whatever it left running in the background.
    pub(crate) async fn ended(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// What it left running is its own affair.
    pub(crate) fn spare_the_rest(&mut self) {
        self.group.0 = None;
    }

    /// What it left running is of no use to anybody.
    pub(crate) fn kill_the_rest(&mut self) {
        self.group.kill();
    }
}

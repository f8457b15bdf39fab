//! What ends the node when its owner is killed.

use crate::NodeError;
use std::{
    io::Write,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
};

/// Notes the process groups that it is told of, until the pipe from the owner ends; then kills them, and removes the
/// directory if one was given.
const SCRIPT: &str = r#"
while read -r group; do groups="$group $groups"; done
for group in $groups; do kill -s KILL -- "-$group"; done
[ -n "$1" ] || exit 0
for attempt in 1 2 3 4 5 6 7 8 9 10; do rm -rf -- "$1" && exit 0; sleep 0.2; done
"#;

/// A shell at the other end of a pipe. The system closes the pipe when the owner dies, however it dies (no destructor
/// runs at kill -9, none of a static at a test's end), and the shell then kills what it was told of.
#[derive(Debug)]
pub(crate) struct Guard {
    shell: Child,
    pipe: ChildStdin,
}

impl Guard {
    /// Starts it. `remove` goes too when the owner dies.
    pub(crate) fn start(remove: Option<&Path>) -> Result<Self, NodeError> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", SCRIPT, "warren-node-guard"]).args(remove).current_dir("/").process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut shell =
            command.spawn().map_err(|source| NodeError::Spawn { program: PathBuf::from("/bin/sh"), source })?;
        let pipe = shell.stdin.take().expect("its input was just piped");
        Ok(Self { shell, pipe })
    }

    /// Tells it of a process group.
    pub(crate) fn watch(&mut self, group: u32) {
        if let Err(error) = writeln!(self.pipe, "{group}") {
            tracing::warn!(%error, group, "RabbitMQ will outlive this process if this process is killed");
        }
    }
}

impl Drop for Guard {
    /// Before the pipe ends, for otherwise it would kill, and the ids may be others' by then.
    fn drop(&mut self) {
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

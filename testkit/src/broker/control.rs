//! What only `rabbitmqctl` can tell a node.

use std::path::PathBuf;
use tokio::process::Command;
use warren_rabbitmq_node::Node;

/// The real script: Debian's wrapper in `PATH` insists on a user.
const PROGRAMS: [&str; 2] = ["/usr/lib/rabbitmq/bin/rabbitmqctl", "/opt/rabbitmq/sbin/rabbitmqctl"];

/// Runs `rabbitmqctl` against a private node, and gives what it said.
///
/// # Panics
/// When it fails, with its words.
pub async fn control(node: &Node, arguments: &[&str]) -> String {
    let program = PROGRAMS.iter().map(PathBuf::from).find(|path| path.exists());
    let mut command = Command::new(program.unwrap_or_else(|| "rabbitmqctl".into()));
    command.args(["--node", "warren@localhost", "--quiet"]).args(arguments);
    // The cookie of its distribution lies in the node's home.
    command.env("HOME", node.directory().join("home")).env("ERL_EPMD_PORT", node.ports().epmd.to_string());
    command.env("RABBITMQ_NODENAME", "warren@localhost").env("LANG", "C.UTF-8").current_dir(node.directory());
    let output = command.output().await.unwrap_or_else(|error| panic!("rabbitmqctl does not start: {error}"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "rabbitmqctl {arguments:?}: {said} {}", String::from_utf8_lossy(&output.stderr));
    said
}

/// Has the node believe that it runs out of memory, or that it has enough again.
///
/// # Panics
/// When it cannot be told.
pub async fn set_memory_alarm(node: &Node, on: bool) {
    // Under this absolute limit no node can be; the other is what tests start with.
    let limit = if on { "1" } else { "1073741824" };
    control(node, &["set_vm_memory_high_watermark", "absolute", limit]).await;
}

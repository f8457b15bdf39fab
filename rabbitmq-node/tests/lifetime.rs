//! What runs, and what is left when it does not.

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    fs,
    net::TcpStream,
    path::Path,
    time::{Duration, Instant},
};
use tempfile::TempDir;
use warren_rabbitmq_node::{Node, Settings};

#[tokio::test]
async fn two_nodes_run_at_once_and_leave_no_process_behind() {
    let (left, right) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let managed = Settings { management: true, ..Settings::new(right.path()) };
    let (a, b) = tokio::join!(Node::start(Settings::new(left.path())), Node::start(managed));
    let (mut a, mut b) = (a.unwrap(), b.unwrap());
    assert!(TcpStream::connect(("127.0.0.1", a.amqp_port())).is_ok());
    assert!(TcpStream::connect(("127.0.0.1", b.management_port().unwrap())).is_ok());
    assert!(processes_of(&a).len() > 2, "the VM, its children and the port mapper: {:?}", processes_of(&a));

    let (of_a, of_b) = (a.pids(), b.pids());
    a.stop().await.unwrap();
    assert!(a.exited().unwrap().success(), "a node that stops in order exits with 0: {:?}", a.exited());
    assert_eq!(a.pid(), None);
    wait_until_gone(left.path(), &of_a).await;
    assert_eq!(b.exited(), None, "the other node goes on");

    b.kill();
    wait_until_gone(right.path(), &of_b).await;
}

#[tokio::test]
async fn a_node_that_dies_is_noticed_and_can_be_started_again() {
    let folder = TempDir::new().unwrap();
    let mut node = Node::start(Settings::new(folder.path())).await.unwrap();
    let pid = node.pid().unwrap();
    kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL).unwrap();
    let status = tokio::time::timeout(Duration::from_secs(5), node.wait()).await.expect("the death is noticed");
    assert!(!status.success());

    node.start_again().await.unwrap();
    assert_ne!(node.pid(), Some(pid));
    assert!(TcpStream::connect(("127.0.0.1", node.amqp_port())).is_ok());
}

#[tokio::test]
async fn a_dropped_ephemeral_node_leaves_neither_process_nor_directory() {
    let folder = TempDir::new().unwrap();
    let settings = Settings { ephemeral: true, ..Settings::new(folder.path().join("node")) };
    let node = Node::start(settings).await.unwrap();
    let (directory, pids) = (node.directory().to_owned(), node.pids());
    drop(node);
    assert!(!directory.exists());
    wait_until_gone(&directory, &pids).await;
}

/// Processes with this id, or with this directory in their environment, as the VM and all its children have it.
fn running(directory: &Path, pids: &[u32]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").expect("Linux").filter_map(Result::ok) {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let environment =
            String::from_utf8_lossy(&fs::read(entry.path().join("environ")).unwrap_or_default()).into_owned();
        if pids.contains(&pid) || environment.contains(&*directory.to_string_lossy()) {
            found.push(format!("{pid} {}", fs::read_to_string(entry.path().join("comm")).unwrap_or_default().trim()));
        }
    }
    found
}

fn processes_of(node: &Node) -> Vec<String> {
    running(node.directory(), &node.pids())
}

async fn wait_until_gone(directory: &Path, pids: &[u32]) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while !running(directory, pids).is_empty() {
        assert!(Instant::now() < deadline, "still running: {:?}", running(directory, pids));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

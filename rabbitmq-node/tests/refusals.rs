//! What a node says when it cannot start. A shell script stands in for the server: these never get as far as AMQP.

use std::{
    fs::{self, File, Permissions},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    time::Duration,
};
use tempfile::TempDir;
use warren_rabbitmq_node::{Node, NodeError, Ports, Settings};

#[tokio::test]
async fn a_node_that_ends_while_it_starts_is_reported_with_the_end_of_its_log() {
    let folder = TempDir::new().unwrap();
    let error = start_with(&folder, "echo 'BOOT FAILED: the reason'; exit 3").await;
    let text = error.to_string();
    assert!(matches!(error, NodeError::Exited { .. }), "{text}");
    assert!(text.contains("exit status: 3") && text.ends_with("BOOT FAILED: the reason"), "{text}");
    assert!(text.contains("rabbitmq.log"), "{text}");
}

#[tokio::test]
async fn a_node_that_does_not_answer_is_killed_at_the_deadline() {
    let folder = TempDir::new().unwrap();
    let error = start_with(&folder, "echo $$ > pid; exec sleep 600").await;
    assert!(matches!(error, NodeError::TimedOut { .. }), "{error}");
    let pid = fs::read_to_string(folder.path().join("node/pid")).unwrap();
    assert!(!PathBuf::from(format!("/proc/{}", pid.trim())).exists(), "process {pid} still runs");
}

#[tokio::test]
async fn the_environment_of_the_user_does_not_reach_the_node() {
    let folder = TempDir::new().unwrap();
    let error = start_with(&folder, "env | grep -E '^(CARGO|USER)'; exit 0").await;
    assert!(error.to_string().ends_with("ends with:\n(nothing)"), "{error}");
}

#[tokio::test]
async fn a_second_node_on_the_same_directory_is_refused() {
    let folder = TempDir::new().unwrap();
    let lock = File::create(folder.path().join("lock")).unwrap();
    lock.lock().unwrap();
    let error = Node::start(Settings::new(folder.path())).await.unwrap_err().to_string();
    assert!(error.starts_with("another RabbitMQ node runs on"), "{error}");
}

#[tokio::test]
async fn a_port_that_was_asked_for_and_is_taken_is_named() {
    let folder = TempDir::new().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let ports = Ports { amqp: port, ..Ports::free() };
    let error = Node::start(Settings { ports: Some(ports), ..Settings::new(folder.path()) }).await.unwrap_err();
    assert!(error.to_string().starts_with(&format!("port {port} of 127.0.0.1, meant for AMQP, is taken")), "{error}");
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_is_named() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let error = Node::start(Settings::new(file.join("node"))).await.unwrap_err().to_string();
    assert!(error.contains("file/node\" cannot be written"), "{error}");
}

async fn start_with(folder: &TempDir, script: &str) -> NodeError {
    let server = folder.path().join("rabbitmq-server");
    fs::write(&server, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&server, Permissions::from_mode(0o755)).unwrap();
    let boot_deadline = Duration::from_secs(1);
    let settings = Settings { server: Some(server), boot_deadline, ..Settings::new(folder.path().join("node")) };
    Node::start(settings).await.expect_err("a shell script is no broker")
}

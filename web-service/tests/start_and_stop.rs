//! How the program starts and ends.

use crate::fixture::web;
use reqwest::StatusCode;
use serde_json::json;
use std::process::Command;

const PROGRAM: &str = env!("CARGO_BIN_EXE_warren-web-service");

fn refusal(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(PROGRAM).args(arguments).env_remove("AMQP_URL").env_remove("CLOUDAMQP_URL").output();
    let output = output.expect("runs");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_port_that_is_taken_is_named_with_the_way_out() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("some port is free");
    let address = taken.local_addr().expect("has an address").to_string();
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("requests.db");
    let file = file.to_str().expect("is UTF-8");
    let (status, text) = refusal(&["--amqp-url", "amqp://h", "--listen", &address, "--sqlite-path", file]);
    assert_eq!(status, Some(1), "{text}");
    for word in [address.as_str(), "--listen", "in use"] {
        assert!(text.contains(word), "{word} in {text}");
    }
}

#[test]
fn a_missing_or_wrong_broker_address_is_refused_without_repeating_it() {
    let (status, text) = refusal(&[]);
    assert_eq!(status, Some(2), "{text}");
    assert!(text.contains("--amqp-url"), "{text}");
    let output = Command::new(PROGRAM).env("AMQP_URL", "amqp://u:s3cret#@h/").output().expect("runs");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("%23"), "{text}");
    assert!(!text.contains("s3cret"), "{text}");
}

#[test]
fn help_names_every_option_with_its_variable() {
    let output = Command::new(PROGRAM).arg("--help").output().expect("runs");
    let text = String::from_utf8_lossy(&output.stdout);
    for variable in [
        "AMQP_URL",
        "WARREN_EXCHANGE",
        "WARREN_LISTEN",
        "WARREN_SQLITE_PATH",
        "WARREN_POSTGRES_URL",
        "WARREN_RETENTION",
        "WARREN_DEAD_LETTER_RETENTION",
        "WARREN_LOG",
    ] {
        assert!(text.contains(variable), "{variable} in {text}");
    }
}

#[tokio::test]
async fn a_client_that_waits_gets_its_answer_when_the_process_stops() {
    let (_vhost, web) = web("stop").await;
    let id = web.submit(json!(1)).await;
    let polling = web.poll(&id).await;
    let store = web.end().await;
    assert_eq!(polling.await.expect("does not panic").0, StatusCode::OK);
    assert!(store.file().exists());
    let log = store.file().with_extension("db-wal");
    assert!(!log.exists(), "a store that was closed in order leaves no write-ahead log");
}

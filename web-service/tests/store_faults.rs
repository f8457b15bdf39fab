//! A store that cannot be opened, or not written to any more.

use crate::fixture::{SOON, declare_on, kind, problem};
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::process::Command;
use warren_messaging::topology::Topology;
use warren_testkit::{broker, eventually, free_port, program::Program};

const PROGRAM: &str = env!("CARGO_BIN_EXE_warren-web-service");

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_named() {
    let output = Command::new(PROGRAM)
        .args(["--amqp-url", "amqp://127.0.0.1:1", "--listen", "127.0.0.1:0", "--sqlite-path", "/proc/no/requests.db"])
        .output()
        .expect("runs");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("cannot open the store /proc/no/requests.db"), "{text}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_named_and_left_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("requests.db");
    std::fs::write(&file, "precious words, and more of them than a header has bytes".repeat(20)).expect("is written");
    let output = Command::new(PROGRAM)
        .args(["--amqp-url", "amqp://127.0.0.1:1", "--listen", "127.0.0.1:0", "--sqlite-path"])
        .arg(&file)
        .output()
        .expect("runs");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("requests.db") && text.contains("not a database"), "{text}");
    assert!(std::fs::read_to_string(&file).expect("is readable").starts_with("precious"));
}

/// The limit on a file's size stands for a full disk: a write over it fails, and it can be lifted from outside.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_submits_keeps_results_queued_and_heals() {
    let vhost = broker::vhost("disk").await;
    declare_on(&vhost.url(), &Topology::named("p")).await;
    let (directory, port) = (tempfile::tempdir().expect("a directory"), free_port());
    let file = directory.path().join("requests.db");
    let script = format!(
        "trap '' XFSZ; ulimit -S -f 600; exec {PROGRAM} --listen 127.0.0.1:{port} --exchange p --sqlite-path {} --amqp-url {}",
        file.display(),
        vhost.url()
    );
    let program = Program::start({
        let mut shell = Command::new("sh");
        shell.args(["-c", &script]);
        shell
    });
    let (http, base) = (reqwest::Client::new(), format!("http://127.0.0.1:{port}"));
    let submit = async || {
        let request = http.post(format!("{base}/api/v1/processData")).header("content-type", "application/json");
        request.body(r#"{"data":1}"#).send().await
    };
    eventually("a submit", SOON, async || submit().await.is_ok_and(|answer| answer.status() == StatusCode::ACCEPTED))
        .await;

    let refused = eventually("the store to fail", SOON, async || match submit().await {
        Ok(answer) if answer.status() == StatusCode::SERVICE_UNAVAILABLE => Ok(answer),
        other => Err(format!("{other:?}")),
    })
    .await;
    assert_eq!(kind(&problem(refused).await), "not-recorded", "it was queued when the disk was found full");
    eventually("submits to be refused before they are queued", SOON, async || {
        let problem = problem(submit().await.expect("is answered")).await;
        if kind(&problem) == "store-unavailable" { Ok(()) } else { Err(problem.to_string()) }
    })
    .await;
    vhost.publish("p", "result", json!({"requestId": "late", "processingResults": 1}).to_string()).await;
    vhost.queue_when("p.results", "the result to be held", SOON, |queue| queue.unacked == 1).await;

    let lifted = Command::new("prlimit").args(["--pid", &program.pid().to_string(), "--fsize=unlimited"]).status();
    assert!(lifted.expect("runs").success());
    eventually("the late result", SOON, async || {
        let answer = http.get(format!("{base}/api/v1/requests/late")).send().await.expect("is answered");
        let record: Value = answer.json().await.expect("is JSON");
        if record["status"] == "succeeded" { Ok(()) } else { Err(record.to_string()) }
    })
    .await;
    eventually("a submit", SOON, async || submit().await.is_ok_and(|answer| answer.status() == StatusCode::ACCEPTED))
        .await;
}

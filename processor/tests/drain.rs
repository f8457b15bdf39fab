//! SIGTERM: what runs is finished, what was not begun goes back.

use crate::{handlers::gated, pipeline::Pipeline, worker::{Embedded, Shipped}};
use nix::sys::signal::Signal;
use std::path::Path;

/// An exec handler that tells by a file when it has begun, and ends when another file appears.
fn waits_for_a_file(folder: &Path) -> Vec<String> {
    let script = format!(
        "touch {0}/begun-$WARREN_REQUEST_ID; while [ ! -e {0}/go ]; do sleep 0.02; done; echo '\"finished\"'",
        folder.display()
    );
    ["--handler=exec", "--", "sh", "-c"].into_iter().map(str::to_owned).chain([script]).collect()
}

pub async fn exists(path: &Path) {
    let give_up = tokio::time::Instant::now() + crate::pipeline::DEADLINE;
    while !path.exists() {
        assert!(tokio::time::Instant::now() < give_up, "{} did not appear", path.display());
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn sigterm_finishes_what_runs_and_ends_with_status_0() {
    let (pipeline, folder) = (Pipeline::declared().await, tempfile::tempdir().expect("a folder"));
    let arguments = waits_for_a_file(folder.path());
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut worker = Shipped::start(&pipeline, &arguments);
    pipeline.request(1, "0").await;
    exists(&folder.path().join("begun-1")).await;
    worker.signal(Signal::SIGTERM);
    pipeline.request(2, "0").await;
    std::fs::write(folder.path().join("go"), "").expect("is written");
    assert_eq!(pipeline.result().await.json()["processingResults"], "finished");
    assert_eq!(worker.ended().await.code(), Some(0));
    assert_eq!(pipeline.depth(&pipeline.topology.requests()).await, 1, "the later one waits for another worker");
}

#[tokio::test]
async fn what_was_prefetched_but_not_begun_is_given_back_at_once() {
    let pipeline = Pipeline::declared().await;
    // Each has to run alone, so that one of them is held back.
    pipeline.suspect(1, 2).await;
    pipeline.suspect(2, 3).await;
    let (handler, mut gate) = gated();
    let worker = Embedded::start(&pipeline, handler, &["--concurrency=2"]);
    assert_eq!(gate.begins().await, "1");
    let stopping = tokio::spawn(worker.stop());
    // While the first still runs.
    pipeline.settles_at(&pipeline.topology.requests(), 1).await;
    gate.open();
    stopping.await.expect("stops");
    assert_eq!(pipeline.result().await.json()["requestId"], 1);
    assert!(gate.nothing_begun());
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let (pipeline, folder) = (Pipeline::declared().await, tempfile::tempdir().expect("a folder"));
    let arguments = waits_for_a_file(folder.path());
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut worker = Shipped::start(&pipeline, &arguments);
    pipeline.request(1, "0").await;
    exists(&folder.path().join("begun-1")).await;
    worker.signal(Signal::SIGTERM);
    // It hears only signals that it can tell apart: the first has to be taken before the second is sent.
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    worker.signal(Signal::SIGTERM);
    assert_eq!(worker.ended().await.code(), Some(130));
    std::fs::write(folder.path().join("go"), "").expect("is written");
    pipeline.settles_at(&pipeline.topology.requests(), 1).await;
}

#[tokio::test]
async fn an_idle_worker_whose_broker_is_away_stops_at_once() {
    let pipeline = Pipeline::declared().await;
    let (handler, _gate) = gated();
    let url = "--amqp-url=amqp://127.0.0.1:1";
    let worker = Embedded::start_with(&pipeline, handler, &[url]);
    worker.stop().await;
}

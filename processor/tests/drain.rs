//! SIGTERM: what runs is finished, what was not begun goes back.

use crate::{
    handlers::{Echo, gated},
    pipeline::{DEADLINE, Pipeline},
    worker::{Embedded, shipped},
};
use nix::sys::signal::Signal;
use std::{fs, path::Path, time::Duration};
use tempfile::TempDir;
use warren_testkit::{eventually, program::Program};

/// A worker whose command waits until the test lets it end.
pub struct Held {
    pub worker: Program,
    folder: TempDir,
}

impl Held {
    pub fn start(pipeline: &Pipeline) -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let worker = shipped(pipeline, &["--handler=exec", "--", "sh", "-c", &Self::script(folder.path())]);
        Self { worker, folder }
    }

    /// Ends with the folder, too: a test may kill the worker and leave it behind.
    fn script(folder: &Path) -> String {
        format!(
            "touch {0}/begun-$WARREN_REQUEST_ID; while [ -d {0} ] && [ ! -e {0}/go ]; do sleep 0.02; done; echo '\"finished\"'",
            folder.display()
        )
    }

    /// Waits until the command runs for this request.
    pub async fn begun(&self, id: u32) {
        let file = self.folder.path().join(format!("begun-{id}"));
        eventually("the command to begin", DEADLINE, async || file.exists()).await;
    }

    pub fn let_go(&self) {
        fs::write(self.folder.path().join("go"), "").expect("can be written");
    }
}

#[tokio::test]
async fn sigterm_finishes_what_runs_and_ends_with_status_0() {
    let pipeline = Pipeline::declared().await;
    let mut held = Held::start(&pipeline);
    pipeline.request(1, "0").await;
    held.begun(1).await;
    held.worker.terminate();
    held.worker.wait_for_line("takes no more requests", DEADLINE).await;
    pipeline.request(2, "0").await;
    held.let_go();
    assert_eq!(pipeline.result().await.json()["processingResults"], "finished");
    assert_eq!(held.worker.wait(DEADLINE).await.code(), Some(0));
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
async fn a_second_signal_ends_at_once_and_the_request_is_there_again() {
    let pipeline = Pipeline::declared().await;
    let mut held = Held::start(&pipeline);
    pipeline.request(1, "0").await;
    held.begun(1).await;
    held.worker.terminate();
    held.worker.wait_for_line("takes no more requests", DEADLINE).await;
    held.worker.signal(Signal::SIGINT);
    assert_eq!(held.worker.wait(DEADLINE).await.code(), Some(130));
    held.let_go();
    pipeline.settles_at(&pipeline.topology.requests(), 1).await;
}

#[tokio::test]
async fn a_worker_whose_broker_is_away_stops_at_once() {
    let mut pipeline = Pipeline::undeclared().await;
    pipeline.url = format!("amqp://127.0.0.1:{}", warren_testkit::free_port());
    let worker = Embedded::start(&pipeline, Echo, &[]);
    tokio::time::timeout(Duration::from_secs(5), worker.stop()).await.expect("nothing is worth waiting for");
}

#[tokio::test]
async fn what_ends_all_at_once_while_it_stops_is_acknowledged_to_the_last() {
    const MANY: u32 = 300;
    let pipeline = Pipeline::declared().await;
    let (handler, mut gate) = gated();
    let worker = Embedded::start(&pipeline, handler, &[&format!("--concurrency={MANY}")]);
    for number in 0..MANY {
        pipeline.request(number, "0").await;
    }
    for _ in 0..MANY {
        gate.begins().await;
    }
    let stopping = tokio::spawn(worker.stop());
    gate.open();
    stopping.await.expect("stops");
    pipeline.request(MANY, "0").await;
    let (handler, mut gate) = gated();
    let other = Embedded::start(&pipeline, handler, &["--concurrency=1"]);
    assert_eq!(gate.begins().await, MANY.to_string(), "what came back would come first");
    gate.open();
    other.stop().await;
}

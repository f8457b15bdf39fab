//! Orders: an idle worker takes nothing for a while, and no request suffers from it.

use crate::{
    handlers::{Echo, gated},
    pipeline::{DEADLINE, Pipeline, Taken},
    worker::Embedded,
};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use warren_messaging::topology::orders;
use warren_testkit::eventually;

const LONG: Duration = Duration::from_secs(60);
const AT_ONCE: Duration = Duration::ZERO;

/// The test's ear for reports.
struct Stats<'a> {
    pipeline: &'a Pipeline,
    queue: String,
}

impl<'a> Stats<'a> {
    async fn of(pipeline: &'a Pipeline) -> Self {
        Self { pipeline, queue: pipeline.listen_to("stats").await }
    }

    /// Waits for a report like this of the worker; its address.
    async fn when(&self, worker: &str, wanted: impl Fn(&Value) -> bool) -> String {
        let look = async || {
            let report = self.pipeline.next(&self.queue, "stats").await;
            let is_it = report.json()["worker"] == worker && wanted(&report.json());
            if is_it { address(&report) } else { Err(report.json().to_string()) }
        };
        eventually(&format!("a report of {worker}"), DEADLINE, look).await
    }
}

fn address(report: &Taken) -> Result<String, String> {
    orders::address(&report.properties).ok_or_else(|| format!("{:?}", report.properties))
}

fn holds(report: &Value) -> bool {
    report["draining"] == true && report["inFlight"] == 0
}

fn takes(report: &Value) -> bool {
    report["draining"] == false
}

#[tokio::test]
async fn an_idle_worker_takes_nothing_for_as_long_as_was_ordered() {
    let pipeline = Pipeline::declared().await;
    let stats = Stats::of(&pipeline).await;
    let (handler, mut gate) = gated();
    let worker = Embedded::start(&pipeline, handler, &["--worker-name=a"]);
    let address = stats.when("a", takes).await;
    pipeline.order(&address, Duration::from_secs(2)).await;
    stats.when("a", holds).await;
    pipeline.request(1, "0").await;
    pipeline.settles_at(&pipeline.topology.requests(), 1).await;
    stats.when("a", takes).await;
    assert_eq!(gate.begins().await, "1");
    let reported = stats.when("a", |report| report["inFlight"] == 1).await;
    assert_eq!(reported, address, "the same worker as before");
    gate.open();
    pipeline.result().await;
    worker.stop().await;
}

#[tokio::test]
async fn a_busy_worker_answers_and_goes_on() {
    let pipeline = Pipeline::declared().await;
    let stats = Stats::of(&pipeline).await;
    let (handler, mut gate) = gated();
    let worker = Embedded::start(&pipeline, handler, &["--worker-name=a", "--concurrency=2"]);
    pipeline.request(1, "0").await;
    assert_eq!(gate.begins().await, "1");
    let address = stats.when("a", |report| report["inFlight"] == 1).await;
    pipeline.order(&address, LONG).await;
    stats.when("a", |report| takes(report) && report["inFlight"] == 1).await;
    pipeline.request(2, "0").await;
    assert_eq!(gate.begins().await, "2");
    gate.open();
    pipeline.result().await;
    pipeline.result().await;
    worker.stop().await;
}

#[tokio::test]
async fn a_worker_that_holds_stops_when_it_is_asked_to_and_its_address_leads_nowhere() {
    let pipeline = Pipeline::declared().await;
    let stats = Stats::of(&pipeline).await;
    let worker = Embedded::start(&pipeline, Echo, &["--worker-name=a"]);
    let address = stats.when("a", takes).await;
    pipeline.order(&address, LONG).await;
    stats.when("a", holds).await;
    worker.stop().await;
    pipeline.order(&address, LONG).await;
    pipeline.request(1, "0").await;
    assert_eq!(pipeline.depth(&pipeline.topology.requests()).await, 1, "the channel still works");
}

#[tokio::test]
async fn a_request_that_comes_with_the_order_is_run_by_somebody_at_once() {
    let pipeline = Pipeline::declared().await;
    let stats = Stats::of(&pipeline).await;
    let ordered = Embedded::start(&pipeline, Echo, &["--worker-name=a", "--concurrency=2"]);
    let other = Embedded::start(&pipeline, Echo, &["--worker-name=b"]);
    let address = stats.when("a", takes).await;
    stats.when("b", takes).await;
    for round in 0..40 {
        let begun = Instant::now();
        let requests = async {
            for part in 0..3 {
                pipeline.request(3 * round + part, "0").await;
            }
        };
        tokio::join!(pipeline.order(&address, LONG), requests);
        let mut ids = Vec::new();
        for _ in 0..3 {
            ids.push(pipeline.result().await.json()["requestId"].as_u64().unwrap_or_default());
        }
        ids.sort_unstable();
        assert_eq!(json!(ids), json!([3 * round, 3 * round + 1, 3 * round + 2]));
        assert!(begun.elapsed() < Duration::from_secs(8), "nobody had to wait for anything to be given back");
        pipeline.order(&address, AT_ONCE).await;
    }
    ordered.stop().await;
    other.stop().await;
}

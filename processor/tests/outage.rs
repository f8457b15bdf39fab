//! A broker that is stopped and started, or killed, under traffic.

use crate::{
    pipeline::{DEADLINE, Pipeline},
    worker::Embedded,
};
use std::{collections::BTreeSet, time::Duration};
use warren_processor::{Handler, Outcome, Work};
use warren_testkit::{broker, eventually};

const REQUESTS: u32 = 120;

/// Takes long enough for the broker to go away in the middle.
struct Slow;

impl Handler for Slow {
    async fn handle(&self, work: Work<'_>) -> Outcome {
        tokio::time::sleep(Duration::from_millis(20)).await;
        Outcome::done(work.data)
    }
}

/// Sends requests, has the broker go away in the middle, and waits until each has its result.
async fn outage(kill: bool) {
    let mut node = broker::private().await;
    let mut pipeline = Pipeline::at(&node.url()).await;
    pipeline.declare(None).await;
    for id in 0..REQUESTS {
        pipeline.request(id, "0").await;
    }
    let worker = Embedded::start(&pipeline, Slow, &["--concurrency=4"]);
    let results = pipeline.topology.results();
    let some = async || pipeline.depth(&results).await > REQUESTS / 10;
    eventually("some results", DEADLINE, some).await;
    if kill {
        node.kill();
    } else {
        node.stop().await.expect("the broker stops");
    }
    node.start_again().await.expect("the broker starts");
    pipeline.reconnect().await;
    let mut missing: BTreeSet<u64> = (0..u64::from(REQUESTS)).collect();
    while !missing.is_empty() {
        let id = pipeline.result().await.json()["requestId"].as_u64().expect("is a number");
        missing.remove(&id);
    }
    assert!(worker.runs());
    worker.stop().await;
}

#[tokio::test]
async fn every_request_gets_its_result_although_the_broker_was_stopped_and_started() {
    outage(false).await;
}

#[tokio::test]
async fn every_request_gets_its_result_although_the_broker_was_killed() {
    outage(true).await;
}

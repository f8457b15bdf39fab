//! Workers that die, and connections that are cut under them.

use crate::{
    drain::Held,
    handlers::{Echo, gated},
    pipeline::{DEADLINE, Pipeline},
    worker::Embedded,
};
use serde_json::json;
use warren_messaging::broker_url::BrokerUrl;
use warren_testkit::{eventually, proxy::Proxy};

#[tokio::test]
async fn what_a_killed_worker_had_is_done_by_another() {
    let pipeline = Pipeline::declared().await;
    let mut held = Held::start(&pipeline);
    pipeline.request(1, r#""a""#).await;
    held.begun(1).await;
    held.worker.kill9();
    let worker = Embedded::start(&pipeline, Echo, &[]);
    assert_eq!(pipeline.result().await.json(), json!({"requestId": 1, "processingResults": "a"}));
    worker.stop().await;
    held.let_go();
}

/// A pipeline whose worker reaches the broker through a proxy.
async fn behind_a_proxy() -> (Pipeline, Pipeline, Proxy) {
    let direct = Pipeline::declared().await;
    let url: BrokerUrl = direct.url.parse().expect("is an address");
    let proxy = Proxy::start(url.host_and_port());
    let through = Pipeline::at(&proxy.url(&direct.url)).await;
    (direct, through, proxy)
}

#[tokio::test]
async fn work_whose_connections_are_lost_is_finished_and_its_result_published_once_they_are_back() {
    let (pipeline, through, proxy) = behind_a_proxy().await;
    let (handler, mut gate) = gated();
    let worker = Embedded::start(&through, handler, &[]);
    pipeline.request(1, "0").await;
    gate.begins().await;
    proxy.cut();
    // The broker notices, and has the request for whoever asks.
    pipeline.settles_at(&pipeline.topology.requests(), 1).await;
    proxy.restore();
    // It is prefetched again, but the one slot is taken by the first run.
    pipeline.settles_at(&pipeline.topology.requests(), 0).await;
    assert!(gate.nothing_begun());
    gate.open();
    assert_eq!(pipeline.result().await.json()["processingResults"], "run 1");
    assert_eq!(pipeline.result().await.json()["processingResults"], "run 2", "at least once: the second is harmless");
    worker.stop().await;
}

#[tokio::test]
async fn a_result_that_cannot_be_published_waits_for_the_connection() {
    let (pipeline, through, proxy) = behind_a_proxy().await;
    let (handler, mut gate) = gated();
    let worker = Embedded::start(&through, handler, &[]);
    pipeline.request(1, "0").await;
    gate.begins().await;
    proxy.cut();
    gate.open();
    pipeline.settles_at(&pipeline.topology.requests(), 1).await;
    assert_eq!(pipeline.depth(&pipeline.topology.results()).await, 0);
    proxy.restore();
    assert_eq!(pipeline.result().await.json()["requestId"], 1);
    assert!(worker.runs());
    worker.stop().await;
}

#[tokio::test]
async fn a_failure_whose_delivery_was_lost_does_not_make_two_requests_of_one() {
    let (pipeline, through, proxy) = behind_a_proxy().await;
    let (handler, mut gate) = crate::handlers::gated_failure();
    let worker = Embedded::start(&through, handler, &[]);
    pipeline.request(1, "0").await;
    gate.begins().await;
    proxy.cut();
    pipeline.settles_at(&pipeline.topology.requests(), 1).await;
    gate.open();
    proxy.restore();
    let dead = pipeline.dead().await;
    assert_eq!(dead.header("x-attempt").as_deref(), Some("3"));
    worker.stop().await;
    for queue in [pipeline.topology.dead(), pipeline.topology.requests()] {
        assert_eq!(pipeline.depth(&queue).await, 0, "{queue}");
    }
}

#[tokio::test]
async fn a_queue_that_is_deleted_and_declared_again_is_consumed_again() {
    let pipeline = Pipeline::declared().await;
    let worker = Embedded::start(&pipeline, Echo, &[]);
    pipeline.request(1, "1").await;
    pipeline.result().await;
    pipeline.delete(&pipeline.topology.requests()).await;
    pipeline.declare(None).await;
    pipeline.request(2, "2").await;
    eventually("the worker to consume again", DEADLINE, async || pipeline.take(&pipeline.topology.results()).await)
        .await;
    worker.stop().await;
}

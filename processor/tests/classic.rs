//! Classic queues, which count no deliveries.

use crate::{
    handlers::{Echo, gated},
    pipeline::{Pipeline, hasty},
    worker::Embedded,
};
use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldTable},
};
use serde_json::json;
use std::{collections::BTreeSet, time::Duration};
use warren_messaging::topology::{QueueType, Topology};

#[tokio::test]
async fn a_redelivered_request_of_a_classic_queue_is_not_run_but_costs_an_attempt_until_none_is_left() {
    let pipeline = Pipeline::with(hasty(QueueType::Classic)).await;
    pipeline.request(1, r#""a""#).await;
    pipeline.return_to_queue().await;
    let worker = Embedded::start(&pipeline, Echo, &[]);
    let event = pipeline.next(&pipeline.topology.results(), "retrying").await.json();
    assert_eq!((&event["requestId"], &event["attempt"]), (&json!(1), &json!(1)), "the record says so");
    let result = pipeline.result().await;
    assert_eq!(result.header("x-attempt").as_deref(), Some("2"), "the crash was the first");
    worker.stop().await;
}

#[tokio::test]
async fn the_last_attempt_is_given_up_unrun_once_it_vanished_alone() {
    let mut topology = hasty(QueueType::Classic);
    topology.retry.max_attempts = 1;
    let pipeline = Pipeline::with(topology).await;
    pipeline.request(1, r#""a""#).await;
    pipeline.return_to_queue().await;
    let (handler, mut gate) = gated();
    let worker = Embedded::start(&pipeline, handler, &[]);
    assert_eq!(gate.begins().await, "1", "it may have stood beside the one that did it");
    let stopping = tokio::spawn(worker.stop());
    gate.open();
    stopping.await.expect("stops");
    assert_eq!(pipeline.result().await.header("x-attempt").as_deref(), Some("1"));

    pipeline.send(br#"{"requestId":2,"requestData":"a"}"#, suspect()).await;
    pipeline.return_to_queue().await;
    let (handler, mut gate) = gated();
    let worker = Embedded::start(&pipeline, handler, &[]);
    assert_eq!(pipeline.dead().await.header("x-reason").as_deref(), Some("delivery_limit"));
    assert!(gate.nothing_begun());
    worker.stop().await;
}

#[tokio::test]
async fn others_that_are_prefetched_with_a_suspect_go_back_before_it_is_run() {
    let pipeline = Pipeline::with(hasty(QueueType::Classic)).await;
    let suspect = suspect();
    for id in 0..3 {
        let body = format!(r#"{{"requestId":{id},"requestData":"a"}}"#);
        pipeline.send(body.as_bytes(), suspect.clone()).await;
    }
    let (handler, mut gate) = gated();
    let worker = Embedded::start(&pipeline, handler, &["--concurrency=3"]);
    gate.begins().await;
    // Not even held: a crash of the suspect's would cost them an attempt.
    pipeline.settles_at(&pipeline.topology.requests(), 2).await;
    assert!(gate.nothing_begun());
    gate.open();
    for _ in 0..3 {
        assert_eq!(pipeline.result().await.header("x-attempt").as_deref(), Some("1"));
    }
    worker.stop().await;
}

#[tokio::test]
async fn a_full_queue_whose_only_attempts_came_back_is_worked_off_all_the_same() {
    let pipeline = Pipeline::with(limited(1, 1)).await;
    pipeline.request(1, r#""a""#).await;
    pipeline.return_to_queue_after(async || pipeline.request(2, r#""a""#).await).await;
    let worker = Embedded::start(&pipeline, Echo, &[]);
    let dead = pipeline.dead().await;
    assert_eq!((&dead.json()["requestId"], dead.header("x-reason").as_deref()), (&json!(1), Some("delivery_limit")));
    assert!(dead.header("x-error").is_some_and(|error| error.ends_with("the request queue is full")), "{dead:?}");
    assert_eq!(pipeline.result().await.json()["requestId"], 2);
    worker.stop().await;
}

#[tokio::test]
async fn suspects_that_a_full_queue_does_not_take_back_are_run_one_after_the_other() {
    let pipeline = Pipeline::with(limited(3, 1)).await;
    let worker = holds_two_suspects_of_a_full_queue(&pipeline).await;
    let mut done = BTreeSet::new();
    while done.len() < 6 {
        done.insert(pipeline.result().await.json()["requestId"].as_u64());
    }
    worker.stop().await;
}

#[tokio::test]
async fn suspects_that_a_full_queue_does_not_take_back_wait_in_a_retry_tier_and_lose_no_attempt() {
    let mut topology = limited(3, 3);
    let long = Duration::from_secs(3600);
    (topology.retry.initial_delay, topology.retry.max_delay) = (long, long);
    let pipeline = Pipeline::with(topology).await;
    let worker = holds_two_suspects_of_a_full_queue(&pipeline).await;
    let tier = pipeline.topology.retry_tier(long);
    pipeline.settles_at(&tier, 1).await;
    for _ in 0..5 {
        pipeline.result().await;
    }
    worker.stop().await;
    let waits = pipeline.take(&tier).await.expect("still waits");
    assert_eq!((waits.header("x-attempt"), waits.header("x-vanished").as_deref()), (None, Some("1")));
}

/// Lets a worker of a queue for three requests take one that is above suspicion and two that are not, fills the queue
/// again, and lets the first one end.
async fn holds_two_suspects_of_a_full_queue(pipeline: &Pipeline) -> Embedded {
    pipeline.request(0, r#""a""#).await;
    for id in 1..3 {
        pipeline.send(format!(r#"{{"requestId":{id},"requestData":"a"}}"#).as_bytes(), suspect()).await;
    }
    let (handler, mut gate) = gated();
    let worker = Embedded::start(pipeline, handler, &["--concurrency=3"]);
    assert_eq!(gate.begins().await, "0");
    pipeline.settles_at(&pipeline.topology.requests(), 0).await;
    for id in 3..6 {
        pipeline.request(id, r#""a""#).await;
    }
    gate.open();
    worker
}

/// As a request whose worker vanished with it.
fn suspect() -> BasicProperties {
    let mut headers = FieldTable::default();
    headers.insert("x-vanished".into(), AMQPValue::LongLongInt(1));
    BasicProperties::default().with_headers(headers)
}

/// A classic queue with a limit.
fn limited(max_length: u64, max_attempts: u32) -> Topology {
    let mut topology = hasty(QueueType::Classic);
    (topology.max_length, topology.retry.max_attempts) = (Some(max_length), max_attempts);
    topology
}

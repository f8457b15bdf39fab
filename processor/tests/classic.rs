//! Classic queues, which count no deliveries.

use crate::{
    handlers::{Echo, gated},
    pipeline::{Pipeline, hasty},
    worker::Embedded,
};
use serde_json::json;
use warren_messaging::topology::QueueType;

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

    let mut headers = lapin::types::FieldTable::default();
    headers.insert("x-vanished".into(), lapin::types::AMQPValue::LongLongInt(1));
    let vanished_alone = lapin::BasicProperties::default().with_headers(headers);
    pipeline.send(br#"{"requestId":2,"requestData":"a"}"#, vanished_alone).await;
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
    let mut headers = lapin::types::FieldTable::default();
    headers.insert("x-vanished".into(), lapin::types::AMQPValue::LongLongInt(1));
    let suspect = lapin::BasicProperties::default().with_headers(headers);
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

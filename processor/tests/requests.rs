//! Requests of every kind of sender, and how they come out.

use crate::{
    handlers::{Echo, gated},
    pipeline::{DEADLINE, Pipeline},
    worker::{Embedded, command, shipped},
};
use lapin::{BasicProperties, types::AMQPValue, types::FieldTable};
use serde_json::json;
use std::process::Command;
use warren_testkit::{eventually, program::Program};

#[tokio::test]
async fn a_request_of_the_original_demo_comes_back_as_its_processor_would_answer() {
    let pipeline = Pipeline::declared().await;
    let _worker = shipped(&pipeline, &["--handler=demo", "--demo-delay=10ms"]);
    pipeline.request(1, r#""my data""#).await;
    let result = pipeline.result().await;
    assert_eq!(result.body, br#"{"requestId":1,"processingResults":"my data-processed"}"#);
    assert_eq!(result.properties.content_type().as_ref().map(|kind| kind.as_str()), Some("application/json"));
    assert_eq!(*result.properties.delivery_mode(), Some(2));
}

#[tokio::test]
async fn what_is_no_request_goes_to_the_dead_letters_with_the_reason_and_the_worker_lives_on() {
    let pipeline = Pipeline::declared().await;
    let worker = Embedded::start(&pipeline, Echo, &[]);
    pipeline.send(b"<order/>", BasicProperties::default()).await;
    let dead = pipeline.dead().await;
    assert_eq!(dead.body, b"<order/>");
    assert_eq!(dead.header("x-reason").as_deref(), Some("undecodable"));
    pipeline.request(2, "true").await;
    assert_eq!(pipeline.result().await.json(), json!({"requestId": 2, "processingResults": true}));
    worker.stop().await;
    assert_eq!(pipeline.depth(&pipeline.topology.requests()).await, 0);
}

#[tokio::test]
async fn a_request_whose_deadline_passed_is_not_run() {
    let pipeline = Pipeline::declared().await;
    let (handler, mut gate) = gated();
    let worker = Embedded::start(&pipeline, handler, &[]);
    let mut headers = FieldTable::default();
    headers.insert("x-deadline".into(), AMQPValue::LongString("2001-01-01T00:00:00Z".into()));
    let properties = BasicProperties::default().with_headers(headers);
    pipeline.send(br#"{"requestId":"late","requestData":1}"#, properties).await;
    assert_eq!(pipeline.dead().await.header("x-reason").as_deref(), Some("expired"));
    assert!(gate.nothing_begun());
    worker.stop().await;
}

#[tokio::test]
async fn work_that_takes_longer_than_a_second_is_announced_and_short_work_is_not() {
    let pipeline = Pipeline::declared().await;
    let (handler, mut gate) = gated();
    let worker = Embedded::start(&pipeline, handler, &[]);
    pipeline.request(3, "0").await;
    gate.begins().await;
    let started = pipeline.next(&pipeline.topology.results(), "started").await.json();
    assert_eq!((&started["event"], &started["requestId"]), (&json!("started"), &json!(3)));
    gate.open();
    assert_eq!(pipeline.result().await.json()["requestId"], 3);
    pipeline.request(4, "0").await;
    let first = async || pipeline.take(&pipeline.topology.results()).await;
    let first = eventually("the second request's first message", DEADLINE, first).await;
    assert_eq!(first.json(), json!({"requestId": 4, "processingResults": "run 1"}));
    worker.stop().await;
}

#[tokio::test]
async fn as_many_requests_are_in_work_at_once_as_were_asked_for_and_no_more() {
    let pipeline = Pipeline::declared().await;
    let (handler, mut gate) = gated();
    let worker = Embedded::start(&pipeline, handler, &["--concurrency=3"]);
    for id in 0..5 {
        pipeline.request(id, "0").await;
    }
    for _ in 0..3 {
        gate.begins().await;
    }
    pipeline.settles_at(&pipeline.topology.requests(), 2).await;
    assert!(gate.nothing_begun());
    gate.open();
    for _ in 0..5 {
        pipeline.result().await;
    }
    worker.stop().await;
}

#[tokio::test]
async fn commands_at_once_are_not_bounded_by_the_files_that_a_process_may_have_open_at_first() {
    let many = 40;
    let pipeline = Pipeline::declared().await;
    let shipped = command(
        &pipeline,
        &["--concurrency=40", "--handler=exec", "--", "sh", "-c", "cat > /dev/null; sleep 1; echo 1"],
    );
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -Sn 64; exec \"$@\"", "sh"]).arg(shipped.get_program()).args(shipped.get_args());
    for id in 0..many {
        pipeline.request(id, "0").await;
    }
    let _worker = Program::start(limited);
    for _ in 0..many {
        let result = pipeline.result().await;
        assert_eq!(result.header("x-attempt").as_deref(), Some("1"));
    }
}

#[tokio::test]
async fn a_suspect_runs_alone() {
    let pipeline = Pipeline::declared().await;
    let (handler, mut gate) = gated();
    pipeline.suspect(1, 2).await;
    let worker = Embedded::start(&pipeline, handler, &["--concurrency=3"]);
    assert_eq!(gate.begins().await, "1");
    pipeline.request(2, "0").await;
    pipeline.request(3, "0").await;
    // Not even prefetched: a crash of the suspect's would cost them a delivery.
    pipeline.settles_at(&pipeline.topology.requests(), 2).await;
    assert!(gate.nothing_begun());
    gate.open();
    for _ in 0..3 {
        pipeline.result().await;
    }
    worker.stop().await;
}

//! Failures: through the retry queues, and to the dead letters.

use crate::{handlers::Fails, pipeline::Pipeline, worker::Embedded};
use serde_json::json;
use std::time::{Duration, Instant};
use warren_processor::Outcome;

#[tokio::test]
async fn a_request_that_keeps_failing_walks_through_the_tiers_and_ends_with_its_last_error() {
    let pipeline = Pipeline::declared().await;
    let worker = Embedded::start(&pipeline, Fails(|attempt| Outcome::again(format_args!("no luck {attempt}"))), &[]);
    let begun = Instant::now();
    pipeline.request(7, "[1]").await;
    let dead = pipeline.dead().await;
    assert!(begun.elapsed() >= Duration::from_millis(300), "two pauses, of 100 ms and 200 ms");
    assert_eq!(dead.header("x-attempt").as_deref(), Some("3"));
    assert_eq!(dead.header("x-reason").as_deref(), Some("attempts_exhausted"));
    assert_eq!(dead.header("x-error").as_deref(), Some("no luck 3"));
    assert_eq!(dead.json(), json!({"requestId": 7, "requestData": [1]}), "as it came, for replay");
    for attempt in 1..=2 {
        let event = pipeline.next(&pipeline.topology.results(), "retrying").await.json();
        assert_eq!((&event["attempt"], &event["error"]), (&json!(attempt), &json!(format!("no luck {attempt}"))));
        assert!(event["nextAttemptAt"].is_string(), "{event}");
    }
    worker.stop().await;
}

#[tokio::test]
async fn a_request_that_succeeds_at_last_says_at_which_attempt() {
    let pipeline = Pipeline::declared().await;
    let second = |attempt| if attempt < 2 { Outcome::again("not yet") } else { Outcome::done("at last") };
    let worker = Embedded::start(&pipeline, Fails(second), &[]);
    pipeline.request(8, "0").await;
    let result = pipeline.result().await;
    assert_eq!(result.json()["processingResults"], "at last");
    assert_eq!(result.header("x-attempt").as_deref(), Some("2"));
    worker.stop().await;
}

#[tokio::test]
async fn a_failure_for_good_is_dead_after_one_attempt() {
    let pipeline = Pipeline::declared().await;
    let worker = Embedded::start(&pipeline, Fails(|_| Outcome::never("no such picture")), &[]);
    pipeline.request(9, "0").await;
    let dead = pipeline.dead().await;
    assert_eq!(dead.header("x-attempt").as_deref(), Some("1"));
    assert_eq!(dead.header("x-reason").as_deref(), Some("rejected"));
    assert_eq!(dead.header("x-error").as_deref(), Some("no such picture"));
    worker.stop().await;
}

#[tokio::test]
async fn a_panic_costs_an_attempt_and_nothing_else() {
    let pipeline = Pipeline::declared().await;
    let handler = Fails(|attempt| if attempt == 1 { panic!("once") } else { Outcome::done(&attempt) });
    let worker = Embedded::start(&pipeline, handler, &[]);
    pipeline.request(10, "0").await;
    assert_eq!(pipeline.result().await.json()["processingResults"], 2);
    worker.stop().await;
}

#[tokio::test]
async fn a_retry_whose_queue_is_unbound_waits_in_work_until_it_is_bound_again() {
    let pipeline = Pipeline::declared().await;
    let tier = pipeline.topology.retry_tier(Duration::from_millis(100));
    pipeline.unbind(&tier, "retry.100ms").await;
    let worker = Embedded::start(&pipeline, Fails(|_| Outcome::again("busy")), &[]);
    pipeline.request(11, "0").await;
    pipeline.settles_at(&pipeline.topology.requests(), 0).await;
    pipeline.declare(None).await;
    assert_eq!(pipeline.dead().await.header("x-attempt").as_deref(), Some("3"));
    worker.stop().await;
}

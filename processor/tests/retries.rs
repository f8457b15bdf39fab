//! Failures: through the retry queues, and to the dead letters.

use crate::{
    handlers::Fails,
    http::serve,
    pipeline::{Pipeline, hasty},
    worker::{Embedded, shipped},
};
use axum::{
    Router,
    http::{HeaderMap, StatusCode},
    response::IntoResponse as _,
    routing::post,
};
use jiff::{Timestamp, ToSpan as _, fmt::rfc2822::DateTimePrinter};
use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldTable},
};
use serde_json::json;
use std::time::{Duration, Instant};
use warren_messaging::topology::QueueType;
use warren_processor::Outcome;

#[tokio::test]
async fn headers_as_large_as_a_sender_may_send_cost_no_connection_and_are_left_behind() {
    let pipeline = Pipeline::declared().await;
    let worker = Embedded::start(&pipeline, Fails(|_| Outcome::again("busy")), &[]);
    let mut headers = FieldTable::default();
    headers.insert("x-mine".into(), AMQPValue::LongString("x".repeat(100_000).into()));
    let properties = BasicProperties::default().with_headers(headers);
    pipeline.send(br#"{"requestId":7,"requestData":1}"#, properties).await;
    let dead = pipeline.dead().await;
    assert_eq!(dead.header("x-attempt").as_deref(), Some("3"));
    assert_eq!(dead.header("x-mine"), None);
    worker.stop().await;
}

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

/// A server that is busy at first, and then answers.
async fn busy_once(status: StatusCode, retry_after: String) -> String {
    let answer = async move |headers: HeaderMap| match headers["x-attempt"].as_bytes() {
        b"1" => (status, [("retry-after", retry_after)], "busy").into_response(),
        _ => "1".into_response(),
    };
    format!("--http-url=http://{}/", serve(Router::new().route("/", post(answer))).await)
}

/// How long a request waits for its second attempt, in which tier's words.
async fn wait_after(status: StatusCode, retry_after: String) -> Duration {
    let mut topology = hasty(QueueType::Quorum);
    topology.retry.max_delay = Duration::from_secs(2);
    let pipeline = Pipeline::with(topology).await;
    let url = busy_once(status, retry_after).await;
    let _worker = shipped(&pipeline, &["--handler=http", &url]);
    pipeline.request(1, "0").await;
    let event = pipeline.next(&pipeline.topology.results(), "retrying").await;
    let (told, body) = (Instant::now(), event.json());
    assert!(body["error"].as_str().is_some_and(|error| error.contains("busy")), "{body}");
    let next: Timestamp = body["nextAttemptAt"].as_str().expect("is there").parse().expect("is a time");
    let result = pipeline.result().await;
    assert_eq!(result.header("x-attempt").as_deref(), Some("2"));
    assert!(Timestamp::now() >= next, "it came at {:?}, not before its time", told.elapsed());
    Duration::try_from(next.duration_since(Timestamp::now())).unwrap_or_default().max(told.elapsed())
}

#[tokio::test]
async fn a_servers_wish_for_a_pause_is_honoured_up_to_the_longest_one() {
    let later = Timestamp::now().checked_add(1.hour()).expect("is a time");
    let date = DateTimePrinter::new().timestamp_to_rfc9110_string(&later).expect("is printed");
    let (seconds, date, none) = tokio::join!(
        wait_after(StatusCode::SERVICE_UNAVAILABLE, "1".into()),
        wait_after(StatusCode::TOO_MANY_REQUESTS, date),
        wait_after(StatusCode::SERVICE_UNAVAILABLE, "soon".into()),
    );
    // Tiers are 100 ms, 200 ms and 2 s.
    assert!(seconds > Duration::from_millis(1500), "rounded up to 2 s: {seconds:?}");
    assert!(date > Duration::from_millis(1500), "an hour is 2 s at most: {date:?}");
    assert!(none < Duration::from_millis(1500), "nonsense is no wish: {none:?}");
}

#[tokio::test]
async fn a_retry_that_would_begin_after_the_deadline_is_given_up_at_once() {
    let mut topology = hasty(QueueType::Quorum);
    (topology.retry.initial_delay, topology.retry.max_delay) = (Duration::from_secs(600), Duration::from_secs(600));
    let pipeline = Pipeline::with(topology).await;
    let worker = Embedded::start(&pipeline, Fails(|_| Outcome::again("busy")), &[]);
    let mut headers = FieldTable::default();
    let deadline = Timestamp::now().checked_add(5.minutes()).expect("is a time");
    headers.insert("x-deadline".into(), AMQPValue::LongString(deadline.to_string().into()));
    pipeline.send(br#"{"requestId":1,"requestData":1}"#, BasicProperties::default().with_headers(headers)).await;
    let dead = pipeline.dead().await;
    assert_eq!(dead.header("x-reason").as_deref(), Some("expired"));
    assert!(dead.header("x-error").is_some_and(|error| error.ends_with("busy")), "{dead:?}");
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

//! Dead letters, and how they are asked for.

use crate::fixture::{SOON, Web};
use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldTable},
};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use warren_messaging::{
    message::{FailureReason, failure},
    request_id::RequestId,
};
use warren_testkit::{broker::Vhost, eventually};

/// Fails a request, as a processor would.
pub async fn fail(vhost: &Vhost, id: &str, replay: u32, reason: FailureReason) {
    let mut headers = FieldTable::default();
    headers.insert("x-replay".into(), AMQPValue::LongLongInt(replay.into()));
    headers.insert("traceparent".into(), AMQPValue::LongString("00-1-2-03".into()));
    let came_with = BasicProperties::default().with_headers(headers);
    let request_id = RequestId::from_text(id).expect("is an id");
    let body = json!({"requestId": id, "requestData": {"n": 1}}).to_string();
    let dead = failure(Some(&request_id), body.as_bytes(), &came_with, 5, reason, &format!("no luck in {replay}"));
    vhost.publish_with("p", "dead", &dead.body, dead.properties.clone()).await;
}

pub async fn failed(web: &Web, vhost: &Vhost, id: &str) {
    fail(vhost, id, 0, FailureReason::AttemptsExhausted).await;
    web.record_when(id, "failed").await;
}

/// Asks for a replay; returns the job's address.
pub async fn replay(http: &Client, base: &str, wanted: Value) -> String {
    let request = http.post(format!("{base}/api/v1/dead-letters/replay")).header("content-type", "application/json");
    let answer = request.body(wanted.to_string()).send().await.expect("is answered");
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    let location = answer.headers()["location"].to_str().expect("is text").to_owned();
    let job: Value = answer.json().await.expect("is JSON");
    assert_eq!(location, format!("/api/v1/replays/{}", job["jobId"].as_str().expect("is text")));
    location
}

/// The job once its status is this.
pub async fn job_when(web: &Web, location: &str, status: &str) -> Value {
    eventually(&format!("the job to be {status}"), SOON, async || {
        let job = web.get_json(location).await;
        if job["status"] == status { Ok(job) } else { Err(job.to_string()) }
    })
    .await
}

pub fn counts(job: &Value) -> [u64; 4] {
    ["total", "replayed", "skipped", "failed"].map(|count| job[count].as_u64().expect("is a number"))
}

pub async fn dead_letters(web: &Web, query: &str) -> Vec<String> {
    let page = web.get_json(&format!("/api/v1/dead-letters{query}")).await;
    let letters = page["deadLetters"].as_array().expect("is a list").clone();
    letters.iter().map(|letter| letter["requestId"].as_str().expect("is text").to_owned()).collect()
}

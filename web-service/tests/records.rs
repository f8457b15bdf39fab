//! What becomes of a request, as the API tells it.

use crate::fixture::{SOON, StoreKind, Web, on_each_store, result, web_on};
use lapin::BasicProperties;
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::time::Duration;
use warren_messaging::{
    message::{FailureReason, failure},
    request_id::RequestId,
};
use warren_testkit::eventually;

on_each_store!(
    a_request_is_accepted_queued_and_answered,
    a_long_poll_ends_as_soon_as_the_result_is_there,
    a_long_poll_that_waits_in_vain_tells_how_far_the_request_is,
    a_long_poll_that_ends_without_a_result_tells_the_progress_made_meanwhile,
    a_result_that_overtakes_its_request_is_kept,
    a_result_that_says_nothing_of_results_ends_its_request,
    the_first_result_counts_and_later_ones_change_nothing,
    whatever_comes_after_the_end_changes_nothing,
    an_integer_id_of_a_foreign_sender_is_another_than_its_digits,
    progress_and_failure_show_on_the_record,
    what_the_broker_itself_gave_up_is_a_failure_with_the_brokers_reason,
    a_message_that_nobody_can_read_is_counted_and_does_not_hold_up_the_others,
    requests_are_listed_newest_first_page_by_page_and_by_status,
    records_survive_a_restart,
);

async fn a_request_is_accepted_queued_and_answered(kind: StoreKind) {
    let (vhost, web) = web_on(kind, "accepted").await;
    let response = web.post(r#"{"data": {"n": 1.50}}"#).await;
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    let (location, retry) = (response.headers()["location"].clone(), response.headers()["retry-after"].clone());
    let accepted: Value = response.json().await.expect("is JSON");
    assert_eq!(accepted["status"], "queued");
    assert_eq!(accepted["statusUrl"], location.to_str().expect("is text"));
    assert_eq!(retry, "1");

    let id = accepted["requestId"].as_str().expect("is a string");
    let queued = vhost.get("p.requests").await.expect("is on the queue");
    assert_eq!(queued.data, format!(r#"{{"requestId":"{id}","requestData":{{"n": 1.50}}}}"#).into_bytes());

    let record = web.record(id).await;
    assert_eq!((&record["status"], &record["attempts"]), (&json!("queued"), &json!(0)));
    result(&vhost, &accepted["requestId"], json!({"done": true})).await;
    let record = web.record_when(id, "succeeded").await;
    assert_eq!(record["result"], json!({"done": true}));
    assert!(record["finishedAt"].as_str() >= record["submittedAt"].as_str(), "{record}");
}

async fn a_long_poll_ends_as_soon_as_the_result_is_there(kind: StoreKind) {
    let (vhost, web) = web_on(kind, "long-poll").await;
    let id = web.submit(json!("x")).await;
    let polling = web.poll(&id).await;
    result(&vhost, &json!(id), json!(7)).await;
    let ended = tokio::time::timeout(SOON, polling).await.expect("ends long before 60 s");
    let (_, record) = ended.expect("does not panic");
    assert_eq!((&record["status"], &record["result"]), (&json!("succeeded"), &json!(7)));
}

async fn a_long_poll_that_waits_in_vain_tells_how_far_the_request_is(kind: StoreKind) {
    let (_vhost, web) = web_on(kind, "vain-poll").await;
    let id = web.submit(json!("x")).await;
    let begun = tokio::time::Instant::now();
    let response = web.get(&format!("/api/v1/requests/{id}?wait=300ms")).await;
    assert!(begun.elapsed() >= Duration::from_millis(300));
    assert_eq!(response.headers()["retry-after"], "1");
    assert_eq!(response.json::<Value>().await.expect("is JSON")["status"], "queued");
}

async fn a_long_poll_that_ends_without_a_result_tells_the_progress_made_meanwhile(kind: StoreKind) {
    let (vhost, web) = web_on(kind, "progress").await;
    for wait in ["3s", "60s"] {
        let id = web.submit(json!("x")).await;
        let polling = web.poll_for(&id, wait).await;
        let started = json!({"event": "started", "startedAt": "2026-01-01T00:00:00Z", "requestId": id, "attempt": 1});
        vhost.publish("p", "event", started.to_string()).await;
        web.record_when(&id, "started").await;
        if wait == "60s" {
            web.stop.cancel();
        }
        let (status, record) = polling.await.expect("does not panic");
        assert_eq!((status, &record["status"], &record["attempts"]), (StatusCode::OK, &json!("started"), &json!(1)));
    }
}

async fn a_result_that_overtakes_its_request_is_kept(kind: StoreKind) {
    let (vhost, web) = web_on(kind, "overtaking").await;
    result(&vhost, &json!("early"), json!(1)).await;
    assert_eq!(web.record_when("early", "succeeded").await["result"], 1);
}

async fn a_result_that_says_nothing_of_results_ends_its_request(kind: StoreKind) {
    let (vhost, web) = web_on(kind, "nothing").await;
    let id = web.submit(json!("x")).await;
    vhost.publish("p", "result", json!({"requestId": id}).to_string()).await;
    assert_eq!(web.record_when(&id, "succeeded").await.get("result"), Some(&Value::Null));
}

async fn the_first_result_counts_and_later_ones_change_nothing(kind: StoreKind) {
    let (vhost, web) = web_on(kind, "duplicates").await;
    let id = web.submit(json!("x")).await;
    result(&vhost, &json!(id), json!("first")).await;
    let first = web.record_when(&id, "succeeded").await;
    result(&vhost, &json!(id), json!("second")).await;
    result(&vhost, &json!("marker"), json!(0)).await;
    web.record_when("marker", "succeeded").await;
    assert_eq!(web.record(&id).await, first);
}

async fn whatever_comes_after_the_end_changes_nothing(kind: StoreKind) {
    let (vhost, web) = web_on(kind, "late").await;
    let (done, given_up) = (web.submit(json!("x")).await, web.submit(json!("y")).await);
    let publish = async |id: &str, end: &str| match end {
        "result" => result(&vhost, &json!(id), json!("done")).await,
        "failure" => {
            let body = json!({"requestId": id, "requestData": "x"}).to_string();
            let (text_id, none) = (RequestId::from_text(id).expect("is an id"), BasicProperties::default());
            let dead = failure(Some(&text_id), body.as_bytes(), &none, 3, FailureReason::DeliveryLimit, "gone");
            vhost.publish_with("p", "dead", &dead.body, dead.properties.clone()).await;
        }
        _ => {
            let started =
                json!({"event": "started", "startedAt": "2026-01-01T00:00:00Z", "requestId": id, "attempt": 9});
            vhost.publish("p", "event", started.to_string()).await;
        }
    };
    publish(&done, "result").await;
    publish(&given_up, "failure").await;
    let records = [web.record_when(&done, "succeeded").await, web.record_when(&given_up, "failed").await];
    assert_eq!(records[1]["error"]["reason"], "delivery_limit");
    for late in ["result", "result", "failure", "started", "failure"] {
        publish(&done, late).await;
        publish(&given_up, late).await;
    }
    result(&vhost, &json!("marker"), json!(0)).await;
    web.record_when("marker", "succeeded").await;
    assert_eq!([web.record(&done).await, web.record(&given_up).await], records);
}

async fn an_integer_id_of_a_foreign_sender_is_another_than_its_digits(kind: StoreKind) {
    let (vhost, web) = web_on(kind, "integer").await;
    result(&vhost, &json!(7), json!("of the integer")).await;
    let record = web.record_when("7", "succeeded").await;
    assert_eq!((&record["requestId"], &record["result"]), (&json!(7), &json!("of the integer")));
    result(&vhost, &json!("7"), json!("of the string")).await;
    eventually("the string's record", SOON, async || web.record("7").await["requestId"] == json!("7")).await;
}

async fn progress_and_failure_show_on_the_record(kind: StoreKind) {
    let (vhost, web) = web_on(kind, "failure").await;
    let id = web.submit(json!("x")).await;
    let event = |event: Value| {
        let mut body = json!({"requestId": id, "attempt": 1});
        body.as_object_mut().expect("is an object").extend(event.as_object().expect("is an object").clone());
        body.to_string()
    };
    let started = event(json!({"event": "started", "startedAt": "2026-01-01T00:00:00Z"}));
    vhost.publish("p", "event", started).await;
    assert_eq!(web.record_when(&id, "started").await["startedAt"], "2026-01-01T00:00:00Z");
    let next = "2999-01-01T00:00:00Z";
    vhost.publish("p", "event", event(json!({"event": "retrying", "error": "busy", "nextAttemptAt": next}))).await;
    let record = web.record_when(&id, "retrying").await;
    assert_eq!((&record["nextAttemptAt"], &record["error"]["message"]), (&json!(next), &json!("busy")));

    let (request_id, none) = (RequestId::from_text(&id).expect("is an id"), BasicProperties::default());
    let body = json!({"requestId": id, "requestData": "x"}).to_string();
    let dead = failure(Some(&request_id), body.as_bytes(), &none, 5, FailureReason::AttemptsExhausted, "no luck");
    vhost.publish_with("p", "dead", &dead.body, dead.properties.clone()).await;
    let record = web.record_when(&id, "failed").await;
    assert_eq!(record["error"], json!({"reason": "attempts_exhausted", "message": "no luck"}));
    assert_eq!((&record["attempts"], record.get("nextAttemptAt")), (&json!(5), None));
}

async fn what_the_broker_itself_gave_up_is_a_failure_with_the_brokers_reason(kind: StoreKind) {
    let (vhost, web) = web_on(kind, "expired").await;
    let body = json!({"requestId": "late", "requestData": "x"}).to_string();
    let expiring = BasicProperties::default().with_expiration("1".into());
    vhost.publish_with("p", "request", body, expiring).await;
    let record = web.record_when("late", "failed").await;
    assert_eq!(record["error"]["reason"], "expired");
}

async fn a_message_that_nobody_can_read_is_counted_and_does_not_hold_up_the_others(kind: StoreKind) {
    let (vhost, web) = web_on(kind, "unreadable").await;
    for body in ["not JSON", "{}", r#"{"requestId":null,"processingResults":1}"#] {
        vhost.publish("p", "result", body).await;
    }
    result(&vhost, &json!("fine"), json!(1)).await;
    web.record_when("fine", "succeeded").await;
    let metrics = web.get("/metrics").await.text().await.expect("is text");
    assert!(metrics.contains("warren_web_results_undecodable_total 3"), "{metrics}");
    vhost.queue_when("p.results", "all to be taken", SOON, |queue| queue.messages == 0).await;
}

async fn requests_are_listed_newest_first_page_by_page_and_by_status(kind: StoreKind) {
    let (vhost, web) = web_on(kind, "list").await;
    let mut ids = Vec::new();
    for number in 0..5 {
        ids.push(web.submit(json!(number)).await);
    }
    result(&vhost, &json!(ids[1]), json!(1)).await;
    web.record_when(&ids[1], "succeeded").await;

    let first = web.get_json("/api/v1/requests?limit=2").await;
    let second = web.get_json(&format!("/api/v1/requests?limit=2&cursor={}", text(&first["nextCursor"]))).await;
    let third = web.get_json(&format!("/api/v1/requests?limit=2&cursor={}", text(&second["nextCursor"]))).await;
    let listed: Vec<_> = [&first, &second, &third].into_iter().flat_map(listed).collect();
    ids.reverse();
    assert_eq!(listed, ids);
    assert_eq!(third.get("nextCursor"), None);

    let succeeded = web.get_json("/api/v1/requests?status=succeeded").await;
    assert_eq!(self::listed(&succeeded), [ids[3].clone()]);
    assert_eq!(succeeded["requests"][0].get("result"), None, "a list is without results");
}

fn text(value: &Value) -> &str {
    value.as_str().expect("is a string")
}

fn listed(page: &Value) -> Vec<String> {
    let requests = page["requests"].as_array().expect("is an array");
    requests.iter().map(|request| text(&request["requestId"]).to_owned()).collect()
}

async fn records_survive_a_restart(kind: StoreKind) {
    let (vhost, web) = web_on(kind, "survive").await;
    let id = web.submit(json!("x")).await;
    let store = web.end().await;
    // While nobody is there, results wait.
    result(&vhost, &json!(id), json!("later")).await;
    let web = Web::start_in(store, &vhost.url(), &[]).await;
    assert_eq!(web.record_when(&id, "succeeded").await["result"], "later");
}

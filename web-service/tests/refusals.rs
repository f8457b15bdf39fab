//! Every refusal names what was wrong and the way out.

use crate::fixture::{SOON, kind, problem, web, web_with};
use reqwest::{Method, StatusCode};
use serde_json::json;
use warren_messaging::topology::Topology;
use warren_testkit::eventually;

#[tokio::test]
async fn a_body_that_is_no_request_is_refused_and_nothing_is_queued() {
    let (vhost, web) = web_with("bodies", &Topology::named("p"), &["--max-body-bytes", "1000"]).await;
    let large = json!({"data": "x".repeat(1000)}).to_string();
    for (body, status, expected, word) in [
        ("hello", StatusCode::BAD_REQUEST, "invalid-json", "not JSON"),
        ("", StatusCode::BAD_REQUEST, "invalid-json", "not JSON"),
        ("{}", StatusCode::BAD_REQUEST, "invalid-body", "`data`"),
        (r#"{"dada": 1}"#, StatusCode::BAD_REQUEST, "invalid-body", "`dada`"),
        (large.as_str(), StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", "1000 bytes"),
    ] {
        let problem = problem(web.post(body.to_owned()).await).await;
        assert_eq!((kind(&problem), &problem["status"]), (expected, &json!(status.as_u16())), "{problem}");
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(word)), "{word} in {problem}");
    }
    vhost.queue_when("p.requests", "nothing to be queued", SOON, |queue| queue.messages == 0).await;
}

#[tokio::test]
async fn a_body_that_is_not_declared_as_json_is_refused() {
    let (_vhost, web) = web("content-type").await;
    let request = web.http.post(format!("{}/api/v1/processData", web.base)).body(r#"{"data":1}"#);
    let response = request.header("content-type", "text/plain").send().await.expect("is answered");
    assert_eq!(response.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let problem = problem(response).await;
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("`text/plain`")), "{problem}");
}

#[tokio::test]
async fn what_cannot_be_looked_up_is_refused() {
    let (_vhost, web) = web("look-up").await;
    let id = web.submit(json!(1)).await;
    let endless = "x".repeat(300);
    for (path, status, expected) in [
        ("/api/v1/requests/0198c0de-0000-7000-8000-000000000000".to_owned(), 404, "no-such-request"),
        ("/api/v1/requests/unknown?wait=5s".to_owned(), 404, "no-such-request"),
        (format!("/api/v1/requests/{endless}"), 400, "invalid-request-id"),
        ("/api/v1/requests/a%0ab".to_owned(), 400, "invalid-request-id"),
        ("/api/v1/requests/%ff".to_owned(), 400, "invalid-request-id"),
        (format!("/api/v1/requests/{id}?wait=2h"), 400, "invalid-wait"),
        (format!("/api/v1/requests/{id}?wait=soon"), 400, "invalid-wait"),
        (format!("/api/v1/requests/{id}?wiat=5s"), 400, "invalid-query"),
        ("/api/v1/requests?status=done".to_owned(), 400, "invalid-query"),
        ("/api/v1/requests?limit=0".to_owned(), 400, "invalid-query"),
        ("/api/v1/requests?cursor=x".to_owned(), 400, "invalid-query"),
        ("/api/v1/dead-letters?reason=bad-luck".to_owned(), 400, "invalid-query"),
        ("/api/v1/dead-letters?since=yesterday".to_owned(), 400, "invalid-query"),
        ("/api/v1/dead-letters?limit=0".to_owned(), 400, "invalid-query"),
        ("/api/v1/dead-letters?resaon=expired".to_owned(), 400, "invalid-query"),
        ("/api/v1/replays/0198c0de-0000-7000-8000-000000000000".to_owned(), 404, "no-such-replay"),
        ("/api/v2/requests".to_owned(), 404, "no-such-route"),
        ("/".to_owned(), 404, "no-such-route"),
    ] {
        let problem = problem(web.get(&path).await).await;
        assert_eq!((kind(&problem), &problem["status"]), (expected, &json!(status)), "{path}: {problem}");
    }
}

#[tokio::test]
async fn a_replay_that_is_not_possible_is_refused() {
    let (_vhost, web) = web("replay").await;
    for (body, kind_of_it, word) in [
        ("{}", "invalid-replay", "exactly one"),
        (r#"{"filter": {}, "rate": 10001}"#, "invalid-replay", "10000"),
        ("all", "invalid-json", "not JSON"),
    ] {
        let request = web.http.post(format!("{}/api/v1/dead-letters/replay", web.base));
        let answer = request.header("content-type", "application/json").body(body).send().await.expect("is answered");
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
        let problem = problem(answer).await;
        assert_eq!(kind(&problem), kind_of_it, "{problem}");
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(word)), "{problem}");
    }
}

#[tokio::test]
async fn another_method_is_refused_with_those_that_are_allowed() {
    let (_vhost, web) = web("methods").await;
    for (method, path, allowed) in [
        (Method::GET, "/api/v1/processData", "POST"),
        (Method::DELETE, "/api/v1/requests/a", "GET, HEAD"),
        (Method::POST, "/api/v1/requests", "GET, HEAD"),
        (Method::PUT, "/readyz", "GET, HEAD"),
        (Method::GET, "/api/v1/dead-letters/replay", "POST"),
        (Method::GET, "/api/v1/journal/replay", "POST"),
        (Method::POST, "/api/v1/replays/a", "GET, HEAD, DELETE"),
    ] {
        let request = web.http.request(method.clone(), format!("{}{path}", web.base));
        let response = request.send().await.expect("is answered");
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
        assert_eq!(response.headers()["allow"], allowed, "{method} {path}");
        assert_eq!(kind(&problem(response).await), "method-not-allowed");
    }
}

#[tokio::test]
async fn a_full_queue_refuses_with_the_time_after_which_a_new_try_makes_sense() {
    let (_vhost, web) = web_with("full", &Topology { max_length: Some(2), ..Topology::named("p") }, &[]).await;
    let refused = eventually("a refusal", SOON, async || {
        let response = web.post(r#"{"data":1}"#).await;
        if response.status() == StatusCode::SERVICE_UNAVAILABLE { Ok(response) } else { Err(response.status()) }
    })
    .await;
    assert_eq!(refused.headers()["retry-after"], "10");
    assert_eq!(kind(&problem(refused).await), "queue-full");
}

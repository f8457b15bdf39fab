//! The whole API, asked by its own schema and against it, with a real broker and a real store behind it: every answer is
//! one of those that are documented.

use crate::fixture::{SOON, StoreKind, TestStore, declare_on};
use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderValue, Method, Request, Response, StatusCode},
};
use futures::future::join_all;
use proptest::{collection::vec, option, prelude::*, sample::select, test_runner::TestRunner};
use serde_json::Value;
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use warren_messaging::{
    link::LinkState,
    message::Report,
    publisher::{Contact, Publisher, PublisherSettings},
    topology::{self, Topology},
};
use warren_testkit::{broker, inputs};
use warren_web_service::{
    api::{Limits, Service, Waiting, app},
    journal::{Journal, Looks},
    metrics::Metrics,
    waiters::Waiters,
};

/// Calls per case; they are in flight together.
const TOGETHER: u32 = 32;
const MAX_BODY: usize = 2000;

const PATHS: &[&str] = &[
    "/api/v1/processData",
    "/api/v1/requests",
    "/api/v1/requests/0198c0de-0000-7000-8000-000000000000",
    "/api/v1/requests/17",
    "/api/v1/requests/a%2fb%20c",
    "/api/v1/dead-letters",
    "/api/v1/dead-letters/replay",
    "/api/v1/journal/replay",
    "/api/v1/replays",
    "/api/v1/replays/0198c0de-0000-7000-8000-000000000000",
    "/api/v1/replays/%00",
    "/healthz",
    "/readyz",
    "/metrics",
    "/",
];
const QUERIES: &[&str] =
    &["wait=1ms", "wait=2h", "status=queued", "limit=2&cursor=9", "limit=1001", "a=b", "wait=%ff", "&&="];
const BODIES: &[&str] = &[
    r#"{"data":"hello"}"#,
    r#"{"data":{"n": 1.50}}"#,
    r#"["hello"]"#,
    r#"{"data":1,"expiresIn":"5m"}"#,
    r#"{"requestIds":["a",1],"rate":5}"#,
    r#"{"filter":{"reason":"expired","since":"2026-01-01T00:00:00Z","until":"2026-01-02T00:00:00Z"}}"#,
    r#"{"since":"2026-01-01T00:00:00Z","until":"2026-01-02T00:00:00Z","includeForgotten":true}"#,
    r#"{"since":"2026-01-01T00:00:00Z","into":{"exchange":"q"}}"#,
];
const HEADERS: [&str; 6] = ["content-type", "content-length", "accept", "transfer-encoding", "x-deadline", "expect"];
const VALUES: &[&str] =
    &["application/json", "application/json; charset=utf-8", "application/vnd.a+json", "text/plain", "5", "chunked"];

/// One call.
#[derive(Clone, Debug)]
struct Call {
    method: Method,
    target: String,
    headers: Vec<(&'static str, Vec<u8>)>,
    body: Vec<u8>,
}

fn call() -> impl Strategy<Value = Call> {
    let methods = [Method::GET, Method::POST, Method::HEAD, Method::PUT, Method::DELETE, Method::OPTIONS];
    let method = prop_oneof![3 => Just(Method::GET), 3 => Just(Method::POST), 1 => select(methods.to_vec())];
    let path = prop_oneof![4 => select(PATHS).prop_map(str::to_owned), 2 => inputs::texts(PATHS)];
    let query = option::of(prop_oneof![select(QUERIES).prop_map(str::to_owned), inputs::texts(QUERIES)]);
    let value = prop_oneof![3 => select(VALUES).prop_map(|text| text.into()), 1 => inputs::mutated(VALUES)];
    let json = Just(vec![("content-type", b"application/json".to_vec())]);
    let headers = prop_oneof![2 => json, 1 => vec((select(&HEADERS[..]), value), 0..3)];
    let body = prop_oneof![8 => inputs::bodies(BODIES), 1 => (0..2 * MAX_BODY).prop_map(|size| vec![b'1'; size])];
    (method, path, query, headers, body).prop_map(|(method, path, query, headers, body)| {
        let target = query.map_or(path.clone(), |query| format!("{path}?{query}"));
        Call { method, target, headers, body }
    })
}

/// What HTTP itself lets through; the rest never reaches the API.
fn request(call: &Call) -> Option<Request<Body>> {
    let mut request = Request::builder().method(&call.method).uri(&call.target);
    for (name, value) in &call.headers {
        request = request.header(*name, HeaderValue::from_bytes(value).ok()?);
    }
    request.body(call.body.clone().into()).ok()
}

/// Why the answer is none that is documented.
async fn complaint(call: &Call, response: Response<Body>) -> Option<String> {
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.expect("answers are whole");
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = header("content-type");
    let is_json = || serde_json::from_slice::<Value>(&body).is_ok_and(|body| body.is_object());
    let is_problem = || {
        serde_json::from_slice::<Value>(&body).is_ok_and(|body| {
            let word = body["type"].as_str().and_then(|text| text.strip_prefix("https://warren.dev/problems/"));
            word.is_some_and(|word| include_str!("../../docs/problems.md").contains(&format!("## {word}\n")))
                && body["status"] == parts.status.as_u16()
                && body["title"].is_string()
                && body["detail"].is_string()
        })
    };
    let text = ["text/plain; charset=utf-8", "application/openmetrics-text; version=1.0.0; charset=utf-8"];
    let is_documented = match parts.status {
        StatusCode::OK if call.method == Method::HEAD => body.is_empty(),
        StatusCode::OK => (kind == "application/json" && is_json()) || text.contains(&kind),
        StatusCode::ACCEPTED => is_json() && header("location").starts_with("/api/v1/re"),
        _ if call.method == Method::HEAD => kind == "application/problem+json" && body.is_empty(),
        StatusCode::SERVICE_UNAVAILABLE => is_problem() && !header("retry-after").is_empty(),
        status if status.is_client_error() => kind == "application/problem+json" && is_problem(),
        _ => false,
    };
    (!is_documented).then(|| format!("{call:?}: {} {kind}: {}", parts.status, String::from_utf8_lossy(&body)))
}

/// The API with everything behind it, but no listener.
async fn api(url: &str, store: &TestStore, stop: &CancellationToken) -> Router {
    let settings = PublisherSettings {
        broker: url.parse().expect("is an address"),
        name: "properties".into(),
        needs: Topology::named("p").plan(),
        confirm_timeout: SOON,
        contact: Contact::default(),
    };
    let report = || Report::of_web("properties", 0);
    let (publisher, _) = Publisher::start(settings, report, stop.clone());
    publisher.ready().await;
    let (_, results) = tokio::sync::watch::channel(LinkState::Ready);
    app(Service {
        publisher,
        store: store.open().await,
        waiters: Waiters::default(),
        waiting: Waiting::new(1000),
        metrics: Arc::new(Metrics::default()),
        results,
        stop: stop.clone(),
        replays: Arc::default(),
        journal: Arc::new(journal(url)),
        limits: Limits { max_body_bytes: MAX_BODY, max_wait: Duration::from_millis(2) },
    })
}

fn journal(url: &str) -> Journal {
    let topology = Topology::named("p");
    Journal {
        broker: url.parse().expect("is an address"),
        connection: "properties".into(),
        stream: topology.journal_stream(),
        exchange: topology.exchange,
        retention: Duration::from_secs(60),
        looks: Looks::default(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_asked_the_answer_is_one_that_is_documented() {
    let vhost = broker::vhost("properties").await;
    // Nobody takes the requests: a full queue is an honest 503, and keeps the broker's disk small.
    let journal = topology::Journal { retention: Duration::from_secs(60), max_bytes: 1 << 26 };
    let topology = Topology { max_length: Some(5000), journal: Some(journal), ..Topology::named("p") };
    declare_on(&vhost.url(), &topology).await;
    let (store, stop) = (TestStore::new(StoreKind::Sqlite).await, CancellationToken::new());
    let api = api(&vhost.url(), &store, &stop).await;
    let plain = Request::post("/api/v1/processData")
        .header("content-type", "application/json")
        .body(Body::from(r#"{"data":1}"#));
    let answer = api.clone().oneshot(plain.expect("is a request")).await.expect("cannot fail");
    assert_eq!(answer.status(), StatusCode::ACCEPTED, "or all the answers would be refusals");
    let runtime = tokio::runtime::Handle::current();
    let asked = tokio::task::spawn_blocking(move || {
        let config = ProptestConfig::default();
        let config = ProptestConfig { cases: config.cases.div_ceil(TOGETHER), failure_persistence: None, ..config };
        TestRunner::new(config).run(&vec(call(), TOGETHER as usize), |calls| {
            let answers =
                join_all(calls.iter().filter_map(|call| Some((call, request(call)?))).map(async |(call, request)| {
                    complaint(call, api.clone().oneshot(request).await.expect("cannot fail")).await
                }));
            let complaints: Vec<_> = runtime.block_on(answers).into_iter().flatten().collect();
            prop_assert!(complaints.is_empty(), "{:#?}", complaints);
            Ok(())
        })
    });
    let outcome = asked.await.expect("does not panic");
    stop.cancel();
    outcome.unwrap_or_else(|error| panic!("{error}"));
}

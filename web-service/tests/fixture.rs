//! A web side that runs, with a topology of its own.

mod store;

pub(crate) use store::on_each_store;
pub use store::{StoreKind, TestStore};

use clap::Parser as _;
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use warren_messaging::{
    link::{Frames, connect},
    topology::{Topology, declare::declare},
};
use warren_testkit::{
    broker::{self, Vhost},
    eventually, free_port,
};
use warren_web_service::{
    service::{self, ServiceError},
    settings::Settings,
};

/// Long enough for a loaded machine, short enough to notice a hang.
pub const SOON: Duration = Duration::from_secs(20);

/// A running web side.
pub struct Web {
    pub base: String,
    pub http: Client,
    pub store: TestStore,
    pub stop: CancellationToken,
    pub running: JoinHandle<Result<(), ServiceError>>,
}

impl Web {
    /// On the broker at `url`, whatever state that is in, with more `arguments`.
    pub async fn start_on(url: &str, arguments: &[&str]) -> Self {
        Self::start_in(TestStore::new(StoreKind::Sqlite).await, url, arguments).await
    }

    pub async fn start_in(store: TestStore, url: &str, arguments: &[&str]) -> Self {
        let listen = format!("127.0.0.1:{}", free_port());
        let own = ["web", "--listen", &listen, "--amqp-url", url, "--exchange", "p"].map(str::to_owned);
        let given = arguments.iter().map(|argument| (*argument).to_owned());
        let settings = Settings::parse_from(own.into_iter().chain(store.arguments()).chain(given));
        let stop = CancellationToken::new();
        let running = tokio::spawn(service::run(settings, stop.clone()));
        let web = Self { base: format!("http://{listen}"), http: Client::new(), store, stop, running };
        eventually("the web side to answer", SOON, async || web.get("/healthz").await.status() == StatusCode::OK).await;
        web
    }

    pub async fn get(&self, path: &str) -> Response {
        eventually("the web side to listen", SOON, async || {
            match self.http.get(format!("{}{path}", self.base)).send().await {
                Err(error) if !error.is_connect() => panic!("GET {path}: {error}"),
                answer => answer,
            }
        })
        .await
    }

    pub async fn get_json(&self, path: &str) -> Value {
        self.get(path).await.json().await.expect("is JSON")
    }

    pub async fn ready(&self) {
        eventually("the web side to be ready", SOON, async || {
            let response = self.get("/readyz").await;
            if response.status() == StatusCode::OK { Ok(()) } else { Err(response.text().await.unwrap_or_default()) }
        })
        .await;
    }

    pub async fn post(&self, body: impl Into<reqwest::Body>) -> Response {
        let request = self.http.post(format!("{}/api/v1/processData", self.base));
        request.header("content-type", "application/json").body(body).send().await.expect("is answered")
    }

    /// Submits and returns the id.
    pub async fn submit(&self, data: Value) -> String {
        let response = self.post(json!({ "data": data }).to_string()).await;
        let (status, body) = (response.status(), response.text().await.expect("has a body"));
        assert_eq!(status, StatusCode::ACCEPTED, "{body}");
        let accepted: Value = serde_json::from_str(&body).expect("is JSON");
        accepted["requestId"].as_str().expect("is a string").to_owned()
    }

    pub async fn record(&self, id: &str) -> Value {
        self.get_json(&format!("/api/v1/requests/{id}")).await
    }

    pub async fn record_when(&self, id: &str, status: &str) -> Value {
        eventually(&format!("request {id} to be {status}"), SOON, async || {
            let record = self.record(id).await;
            if record["status"] == status { Ok(record) } else { Err(record.to_string()) }
        })
        .await
    }

    /// Waits until `/readyz` says this word, with any status.
    pub async fn says(&self, word: &str, patience: Duration) {
        eventually(&format!("/readyz to say {word}"), patience, async || {
            let text = self.get("/readyz").await.text().await.unwrap_or_default();
            if text.contains(word) { Ok(()) } else { Err(text) }
        })
        .await;
    }

    /// The detail of the refusal of a submit, which is a 503 of this kind.
    pub async fn refusal(&self, expected: &str) -> String {
        let response = self.post(r#"{"data":1}"#).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(response.headers().contains_key("retry-after"));
        let problem = problem(response).await;
        assert_eq!(kind(&problem), expected, "{problem}");
        problem["detail"].as_str().unwrap_or_default().to_owned()
    }

    /// Waits until submits are refused as `broker-unavailable` with this word in the detail, and gives that.
    pub async fn refused_with(&self, word: &str) -> String {
        eventually(&format!("{word} in a refusal"), SOON, async || {
            let detail = self.refusal("broker-unavailable").await;
            if detail.contains(word) { Ok(detail) } else { Err(detail) }
        })
        .await
    }

    /// Long-polls a request in the background, and waits until it waits.
    pub async fn poll(&self, id: &str) -> JoinHandle<(StatusCode, Value)> {
        self.poll_for(id, "60s").await
    }

    pub async fn poll_for(&self, id: &str, wait: &str) -> JoinHandle<(StatusCode, Value)> {
        let (http, url) = (self.http.clone(), format!("{}/api/v1/requests/{id}?wait={wait}", self.base));
        let polling = tokio::spawn(async move {
            let response = http.get(url).send().await.expect("is answered");
            (response.status(), response.json().await.expect("is JSON"))
        });
        eventually("the poll to wait", SOON, async || {
            let metrics = self.get("/metrics").await.text().await.expect("is text");
            metrics.contains("warren_web_long_polls 1")
        })
        .await;
        polling
    }

    /// Ends it in order; gives its store back.
    pub async fn end(self) -> TestStore {
        self.stop.cancel();
        self.running.await.expect("does not panic").expect("ends well");
        self.store
    }
}

/// Declares the topology of pipeline `p` and starts a web side on it.
pub async fn web(label: &str) -> (Vhost, Web) {
    web_with(label, &Topology::named("p"), &[]).await
}

pub async fn web_with(label: &str, topology: &Topology, arguments: &[&str]) -> (Vhost, Web) {
    let vhost = broker::vhost(label).await;
    declare_on(&vhost.url(), topology).await;
    let web = Web::start_on(&vhost.url(), arguments).await;
    web.ready().await;
    (vhost, web)
}

/// The same on a store of this kind.
pub async fn web_on(kind: StoreKind, label: &str) -> (Vhost, Web) {
    let vhost = broker::vhost(label).await;
    declare_on(&vhost.url(), &Topology::named("p")).await;
    let web = Web::start_in(TestStore::new(kind).await, &vhost.url(), &[]).await;
    web.ready().await;
    (vhost, web)
}

/// Puts a result on the queue, as a processor would.
pub async fn result(vhost: &Vhost, id: &Value, results: Value) {
    let body = json!({ "requestId": id, "processingResults": results }).to_string();
    vhost.publish("p", "result", body).await;
}

pub async fn declare_on(url: &str, topology: &Topology) {
    let connection = connect(&url.parse().expect("is an address"), "test", Frames::Small).await.expect("connects");
    declare(&connection, &topology.plan()).await.expect("is declared");
}

/// The problem in a response, after a look at its form.
pub async fn problem(response: Response) -> Value {
    let status = response.status().as_u16();
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let problem: Value = response.json().await.expect("is JSON");
    assert_eq!(problem["status"], status);
    assert!(problem["type"].as_str().is_some_and(|text| text.starts_with("https://warren.dev/problems/")), "{problem}");
    problem
}

pub fn kind(problem: &Value) -> &str {
    problem["type"].as_str().and_then(|text| text.rsplit('/').next()).unwrap_or_default()
}

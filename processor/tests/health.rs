//! What the worker says of itself over HTTP and on the broker.

use crate::{
    handlers::Echo,
    pipeline::{DEADLINE, Pipeline},
    worker::Embedded,
};
use warren_testkit::{eventually, eventually::when, free_port};

/// Status and text of one of the worker's pages; 0 while nobody listens.
async fn page(port: u16, path: &str) -> (u16, String) {
    match reqwest::get(format!("http://127.0.0.1:{port}{path}")).await {
        Ok(answer) => (answer.status().as_u16(), answer.text().await.unwrap_or_default()),
        Err(error) => (0, error.to_string()),
    }
}

#[tokio::test]
async fn a_worker_says_what_it_waits_for_is_alive_meanwhile_and_then_ready() {
    let pipeline = Pipeline::undeclared().await;
    let port = free_port();
    let worker = Embedded::start(&pipeline, Echo, &[&format!("--listen=127.0.0.1:{port}")]);
    let waits = |page: &(u16, String)| page.0 == 503 && page.1.contains("exchange processing");
    eventually("the reason", DEADLINE, async || when(page(port, "/readyz").await, waits)).await;
    assert_eq!(page(port, "/healthz").await, (200, "alive\n".into()));
    pipeline.declare(None).await;
    eventually("readiness", DEADLINE, async || when(page(port, "/readyz").await, |page| page.0 == 200)).await;
    worker.stop().await;
}

#[tokio::test]
async fn metrics_count_what_left_the_worker() {
    let pipeline = Pipeline::declared().await;
    let port = free_port();
    let worker = Embedded::start(&pipeline, Echo, &[&format!("--listen=127.0.0.1:{port}"), "--concurrency=2"]);
    pipeline.request(1, "1").await;
    pipeline.result().await;
    let counted = |page: &(u16, String)| page.1.contains("requests_total{outcome=\"done\"} 1");
    let (_, text) = eventually("the count", DEADLINE, async || when(page(port, "/metrics").await, counted)).await;
    assert!(text.contains("handler_duration_seconds_bucket"), "{text}");
    worker.stop().await;
}

#[tokio::test]
async fn a_worker_reports_its_figures_each_second_to_whoever_listens() {
    let pipeline = Pipeline::declared().await;
    let queue = pipeline.listen_to("stats").await;
    let worker = Embedded::start(&pipeline, Echo, &["--concurrency=3", "--worker-name=jo"]);
    pipeline.request(1, "1").await;
    let look = async || {
        let report = pipeline.take(&queue).await.ok_or("none")?.json();
        when(report, |report| report["processedTotal"] == 1).map_err(|_| "none with the request")
    };
    let report = eventually("a report", DEADLINE, look).await;
    assert_eq!((&report["worker"], &report["capacity"]), (&"jo".into(), &3.into()));
    worker.stop().await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_refused_at_the_start() {
    let pipeline = Pipeline::declared().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = taken.local_addr().expect("it is bound");
    let mut worker = crate::worker::shipped(&pipeline, &["--handler=demo", &format!("--listen={address}")]);
    worker.wait_for_line("--listen", DEADLINE).await;
    assert_eq!(worker.wait(DEADLINE).await.code(), Some(1));
}

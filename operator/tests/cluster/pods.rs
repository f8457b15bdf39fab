//! Each kind of handler in Pods under Pod Security *restricted*, and what their Pods look like.

use super::site::{SOON, Site};
use serde_json::{Value, json};

async fn run_example(label: &str, file: &str, name: &str, data: Value, expected: Value) {
    let Some(site) = Site::new(label).await else { return };
    let path = format!("{}/../examples/{file}", env!("CARGO_MANIFEST_DIR"));
    site.apply(&std::fs::read_to_string(path).expect("the example")).await;
    site.ready(name).await;
    let base = site.base(name).await;
    let id = site.submit(&base, data).await;
    let record = site.outcome(&base, &id).await;
    assert_eq!((&record["status"], &record["result"]), (&json!("succeeded"), &expected), "{record}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_example_works_as_it_stands() {
    run_example("demo", "processing.yaml", "processing", json!("hello"), json!("hello-processed")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_http_example_works_as_it_stands() {
    run_example("http", "http.yaml", "shout", json!("hello"), json!("HELLO")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exec_example_works_as_it_stands() {
    let expected = json!({"words": 6, "characters": 18});
    run_example("exec", "exec.yaml", "wordcount", json!("to be or not to be"), expected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_streaming_example_works_as_it_stands() {
    run_example("stream", "exec-stream.yaml", "primes", json!(100), json!({"primes": 25})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_survive_the_replacement_of_the_web_pod() {
    let Some(site) = Site::new("survive").await else { return };
    site.apply(&super::site::pipeline("p", json!({}))).await;
    site.ready("p").await;
    let base = site.base("p").await;
    let id = site.submit(&base, json!("kept")).await;
    site.outcome(&base, &id).await;
    let pods = ["delete", "pod", "-l", "app.kubernetes.io/name=warren-web-service", "--wait=true"];
    site.namespace.kubectl(&pods).await.expect("is deleted");
    let there = |object: &Value| object["status"]["readyReplicas"] == 1;
    site.namespace.get_when("deployment", "p-web", "a new web Pod", SOON, there).await;
    assert_eq!(site.outcome(&base, &id).await["result"], "kept-processed");
}

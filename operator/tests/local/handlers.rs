//! Every example answers, as it stands.

use super::running::{Local, SOON, pipeline};
use serde_json::{Value, json};
use warren_testkit::broker;

fn example(file: &str) -> String {
    let path = format!("{}/../examples/{file}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).expect("the example")
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_of_a_template_are_left_out_and_named() {
    let vhost = broker::vhost("sidecars").await;
    let logs = json!({"name": "logs", "image": "logs:1", "command": ["logs"], "restartPolicy": "Always"});
    let template =
        json!({"spec": {"initContainers": [logs], "containers": [{"name": "metrics", "image": "metrics:1"}]}});
    let processor = json!({"handler": {"demo": {"delay": "0s"}}, "template": template});
    let mut local = Local::start(&pipeline("p", processor), Some(&vhost.url())).await;
    local.program.wait_for_line("spec.processor.template are not run here: logs, metrics", SOON).await;
    let base = local.base("p").await;
    let id = local.submit(&base, json!("hello")).await;
    assert_eq!(local.record_when(&base, &id, "succeeded").await["result"], "hello-processed");
    local.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_does_its_work_in_one_file_together() {
    let vhost = broker::vhost("examples").await;
    let files = ["processing.yaml", "exec.yaml", "exec-stream.yaml", "http.yaml"].map(example);
    let mut local = Local::start(&files.join("\n---\n"), Some(&vhost.url())).await;
    for (name, data, expected) in [
        ("processing", json!("hello"), json!("hello-processed")),
        ("wordcount", json!("to be or not to be"), json!({"words": 6, "characters": 18})),
        ("primes", json!(100), json!({"primes": 25})),
        ("shout", json!("hello"), json!("HELLO")),
    ] {
        let base = local.base(name).await;
        let id = local.submit(&base, data).await;
        assert_eq!(local.record_when(&base, &id, "succeeded").await["result"], expected, "{name}");
    }
    for (name, word) in [("wordcount", "data must be a text"), ("primes", "whole number"), ("shout", "422")] {
        let base = local.base(name).await;
        let id = local.submit(&base, json!({"not": "wanted"})).await;
        let record: Value = local.record_when(&base, &id, "failed").await;
        assert_eq!(record["error"]["reason"], "rejected", "{record}");
        assert!(record["error"]["message"].as_str().is_some_and(|text| text.contains(word)), "{word} in {record}");
    }
    local.end().await;
}

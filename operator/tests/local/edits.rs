//! The file is edited while it runs.

use super::running::{Local, SOON, file, pipeline};
use serde_json::json;
use warren_testkit::{broker, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_is_picked_up_a_mistake_is_told_and_a_removed_pipeline_ends() {
    let vhost = broker::vhost("edits").await;
    let demo = |delay: &str, replicas: u32| json!({"handler": {"demo": {"delay": delay}}, "scaling": {"minReplicas": replicas}});
    let mut local = Local::start(&pipeline("p", demo("0s", 1)), Some(&vhost.url())).await;
    let base = local.base("p").await;
    let write = |text: &str| std::fs::write(file(local.directory.path()), text).expect("is written");

    write(&pipeline("p", demo("0s", 3)));
    eventually("three processors", SOON, async || local.program.output().contains("processors 3/3")).await;
    assert_eq!(local.pids("warren-processor").len(), 3);
    let web_before = local.pids("warren-web-service");

    write(&pipeline("p", demo("soon", 3)));
    eventually("the mistake", SOON, async || local.program.output().contains("spec.processor.handler.demo.delay"))
        .await;
    let id = local.submit(&base, json!("still")).await;
    local.record_when(&base, &id, "succeeded").await;

    let exec = json!({"handler": {"exec": {"image": "any", "command": ["sh", "-c", "cat"]}}});
    write(&format!("{}\n---\n{}", pipeline("p", exec), pipeline("q", demo("0s", 1))));
    let id = eventually("the new handler", SOON, async || {
        let id = local.submit(&base, json!("echo")).await;
        let record = local.record_when(&base, &id, "succeeded").await;
        (record["result"] == "echo").then_some(id)
    })
    .await;
    assert_eq!(local.record_when(&base, &id, "succeeded").await["result"], "echo");
    assert_eq!(local.pids("warren-web-service").first(), web_before.first(), "the web side was not touched");

    write(&pipeline("q", demo("0s", 1)));
    eventually("p to end", SOON, async || local.program.output().contains("pipeline `p` is no longer in the file"))
        .await;
    eventually("one web side to be left", SOON, async || local.pids("warren-web-service").len() == 1).await;
    local.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edited_handler_takes_new_requests_while_the_one_before_finishes_its_own() {
    let vhost = broker::vhost("edit-busy").await;
    let exec = |script: &str| {
        let exec = json!({"image": "any", "command": ["sh", "-c", script]});
        pipeline("p", json!({"handler": {"exec": exec}, "scaling": {"minReplicas": 1}}))
    };
    let mut local = Local::start(&exec("while [ ! -e enough ]; do sleep 0.1; done; echo 1"), Some(&vhost.url())).await;
    let base = local.base("p").await;
    let long = local.submit(&base, json!("long")).await;
    local.record_when(&base, &long, "started").await;

    std::fs::write(file(local.directory.path()), exec("echo 2")).expect("is written");
    local.program.wait_for_line("pipeline `p` was edited", SOON).await;
    let next = local.submit(&base, json!("next")).await;
    assert_eq!(local.record_when(&base, &next, "succeeded").await["result"], 2);
    assert_eq!(local.record_when(&base, &long, "started").await["attempts"], 1);

    std::fs::write(local.directory.path().join("enough"), "").expect("is written");
    assert_eq!(local.record_when(&base, &long, "succeeded").await["result"], 1);
    local.end().await;
}

//! What cannot run says why, where, and what to do.

use super::running::{Local, SOON, command, file, pipeline};
use serde_json::json;
use std::{net::TcpListener, path::Path};
use warren_testkit::{broker, eventually, free_port, program::Program};

/// Runs `local` on a file and returns what it says, after it has ended with 1.
fn refusal(text: &str, amqp_url: &str) -> String {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(file(directory.path()), text).expect("is written");
    ended(directory.path(), amqp_url)
}

fn ended(directory: &Path, amqp_url: &str) -> String {
    let output = command(directory, Some(amqp_url), free_port()).output().expect("runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    text
}

#[test]
fn a_wrong_file_is_refused_with_every_mistake_in_it() {
    let demo = json!({"handler": {"demo": {}}});
    let unknown = json!({"handler": {"demo": {}}, "concurency": 2});
    let two = json!({"handler": {"demo": {}, "exec": {"image": "i", "command": ["c"]}}});
    let bounds = json!({"handler": {"demo": {}}, "scaling": {"minReplicas": 5, "maxReplicas": 2}});
    let image_only = json!({"handler": {"http": {"image": "mine:1", "port": 8000}}});
    let secret = json!({"handler": {"exec": {"image": "i", "command": ["c"], "env": [
        {"name": "TOKEN_OF_A_TEST", "valueFrom": {"secretKeyRef": {"name": "api", "key": "token"}}}]}}});
    let shared = pipeline("a", demo.clone()).replace(r#""spec":{"#, r#""spec":{"topology":{"exchange":"b"},"#);
    let elsewhere = pipeline("p", demo.clone()).replace(r#""name":"p""#, r#""name":"p","namespace":"elsewhere""#);
    let own = json!({"handler": {"demo": {}}, "template": {"spec": {"containers": [
        {"name": "processor", "image": "registry.example/uppercase:1"}]}}});
    for (text, words) in [
        (pipeline("p", own), vec!["`registry.example/uppercase:1`", "warren-processor", "managed: false"]),
        (
            format!("{}\n---\n{elsewhere}", pipeline("p", demo.clone())),
            vec!["`p`", "`default`", "`elsewhere`", "--directory"],
        ),
        (pipeline("p", unknown), vec!["concurency", "did you mean `concurrency`"]),
        (pipeline("p", two), vec!["handler", "exactly one"]),
        (pipeline("p", bounds), vec!["minReplicas", "maxReplicas"]),
        (
            pipeline("p", json!({"handler": {"demo": {"delay": "fast"}}})),
            vec!["spec.processor.handler.demo.delay", "fast"],
        ),
        (format!("{0}\n---\n{0}", pipeline("p", demo.clone())), vec!["a second pipeline of this name"]),
        (format!("{shared}\n---\n{}", pipeline("b", demo)), vec!["`a`", "`b`", "spec.topology.exchange"]),
        (pipeline("p", image_only), vec!["mine:1", "--handler-url p="]),
        (pipeline("p", secret), vec!["`api`", "`token`", "TOKEN_OF_A_TEST"]),
        ("not: [valid".into(), vec!["pipeline.yaml"]),
    ] {
        let said = refusal(&text, "amqp://127.0.0.1:1");
        for word in words {
            assert!(said.contains(word), "{word} in {said}");
        }
    }
}

#[test]
fn a_wrong_address_in_the_environment_is_refused_without_the_password() {
    let said = refusal(&pipeline("p", json!({"handler": {"demo": {}}})), "amqp://u:s3cret#@h/");
    assert!(said.contains("AMQP_URL") && said.contains("%23"), "{said}");
    assert!(!said.contains("s3cret"), "{said}");
}

#[test]
fn a_directory_that_cannot_be_made_is_named_with_the_way_out() {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(file(directory.path()), pipeline("p", json!({"handler": {"demo": {}}}))).expect("is written");
    std::fs::write(directory.path().join("state"), "a file stands in the way").expect("is written");
    let said = ended(directory.path(), "amqp://127.0.0.1:1");
    assert!(said.contains("state") && said.contains("--directory"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_local_on_one_directory_is_refused_and_a_taken_port_gives_way() {
    let vhost = broker::vhost("second").await;
    let taken = TcpListener::bind("127.0.0.1:0").expect("some port is free");
    let port = taken.local_addr().expect("has an address").port();
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(file(directory.path()), pipeline("p", json!({"handler": {"demo": {}}}))).expect("is written");
    let mut program = Program::start(command(directory.path(), Some(&vhost.url()), port));
    program.wait_for_line(&format!("port {port} is taken"), SOON).await;
    program.wait_for_line("Ctrl-C ends it", SOON).await;
    let said = ended(directory.path(), &vhost.url());
    assert!(said.contains("another `warren-operator local`"), "{said}");
    program.signal(nix::sys::signal::SIGTERM);
    assert!(program.wait(SOON).await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_with_other_arguments_is_told_and_used_once_it_is_gone() {
    let vhost = broker::vhost("other-arguments").await;
    let channel = vhost.channel().await;
    let plain = lapin::options::QueueDeclareOptions::durable();
    channel.queue_declare("p.requests".into(), plain, Default::default()).await.expect("is declared");
    let mut local =
        Local::start(&pipeline("p", json!({"handler": {"demo": {"delay": "0s"}}})), Some(&vhost.url())).await;
    let line = local.program.wait_for_line("queue p.requests exists with other arguments", SOON).await;
    assert!(line.contains("inequivalent arg") && line.contains("delete_queue"), "{line}");
    channel.queue_delete("p.requests".into(), Default::default()).await.expect("is deleted");
    let base = local.base("p").await;
    let id = local.submit(&base, json!(1)).await;
    local.record_when(&base, &id, "succeeded").await;
    local.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_away_is_told_and_used_once_it_is_there() {
    let mut node = broker::private().await;
    let url = node.url();
    node.stop().await.expect("stops");
    let local = Local::start(&pipeline("p", json!({"handler": {"demo": {"delay": "0s"}}})), Some(&url)).await;
    eventually("the reason", SOON, async || local.program.output().contains("cannot reach RabbitMQ at 127.0.0.1"))
        .await;
    node.start_again().await.expect("starts");
    let mut local = local;
    let base = local.base("p").await;
    let id = local.submit(&base, json!(1)).await;
    local.record_when(&base, &id, "succeeded").await;
    local.end().await;
}

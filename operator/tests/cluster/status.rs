//! What a pipeline that cannot work says of itself, and that it heals by itself.

use super::site::{SECONDS, SOON, Site, condition, pipeline, secret};
use serde_json::json;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_missing_wrong_or_mended_shows_within_seconds() {
    let Some(site) = Site::without_secret("secrets").await else { return };
    site.apply(&pipeline("p", json!({}))).await;
    let message = site.ready_reason("p", "SecretNotFound", SECONDS).await;
    assert!(message.contains("spec.broker.secretRef: the Secret `rabbitmq` does not exist"), "{message}");

    site.apply(&secret("rabbitmq", json!({"uri": "amqp://h"}))).await;
    let message = site.ready_reason("p", "SecretKeyMissing", SECONDS).await;
    assert!(message.contains("has no key `url` (it has uri)"), "{message}");

    site.apply(&secret("rabbitmq", json!({"url": "amqp://user:p#s3cret@h/"}))).await;
    let message = site.ready_reason("p", "SecretInvalid", SECONDS).await;
    assert!(message.contains("write it as %23") && !message.contains("s3cret"), "{message}");

    let right = site.broker_url();
    site.apply(&secret("rabbitmq", json!({"url": right.replace("guest:guest@", "guest:wrong@")}))).await;
    let message = site.ready_reason("p", "LoginRefused", SECONDS).await;
    assert!(message.contains("user `guest`"), "{message}");

    let elsewhere = right.replace(site.vhost.name(), "nowhere");
    site.apply(&secret("rabbitmq", json!({"url": elsewhere}))).await;
    let message = site.ready_reason("p", "VhostRefused", SECONDS).await;
    assert!(message.contains("`nowhere`") && message.contains("rabbitmqctl add_vhost"), "{message}");

    site.apply(&secret("rabbitmq", json!({"url": right}))).await;
    site.ready("p").await;
    site.event("p", "SecretNotFound", SECONDS).await;
    site.event("p", "Running", SECONDS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_databases_secret_that_is_missing_or_wrong_shows_and_does_not_hold_up_a_deletion() {
    let Some(site) = Site::new("store").await else { return };
    let web = json!({"store": {"postgres": {"secretRef": {"name": "db", "key": "url"}}}});
    site.apply(&pipeline("p", json!({"web": web, "topology": {"deletionPolicy": "Delete"}}))).await;
    let message = site.ready_reason("p", "SecretNotFound", SECONDS).await;
    assert!(message.contains("spec.web.store.postgres.secretRef: the Secret `db` does not exist"), "{message}");

    site.apply(&secret("db", json!({"uri": "postgres://h"}))).await;
    let message = site.ready_reason("p", "SecretKeyMissing", SECONDS).await;
    assert!(message.contains("has no key `url` (it has uri)"), "{message}");

    site.apply(&secret("db", json!({"url": "mysql://user:s3cret@h/d"}))).await;
    let message = site.ready_reason("p", "SecretInvalid", SECONDS).await;
    assert!(message.contains("postgres://user:password@host") && !message.contains("s3cret"), "{message}");

    site.namespace.kubectl(&["delete", "pp", "p", "--wait=false"]).await.expect("is deleted");
    site.namespace.gone("pp", "p", SECONDS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_cannot_be_pulled_is_said_in_the_pods_own_words() {
    let Some(site) = Site::new("image").await else { return };
    let handler = json!({"http": {"image": "registry.invalid/nothing:1", "port": 8000}});
    site.apply(&pipeline("p", json!({"processor": {"handler": handler}}))).await;
    let message = site.ready_reason("p", "PodsFailing", SOON).await;
    assert!(
        message.contains("container `handler` is in") && message.contains("registry.invalid/nothing:1"),
        "{message}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_that_does_not_start_is_said_while_the_old_version_works() {
    let Some(site) = Site::new("update").await else { return };
    let handler =
        |image: &str| json!({"handler": {"exec": {"image": image, "command": ["python3", "-c", "print(1)"]}}});
    site.apply(&pipeline("p", json!({"processor": handler("python:3.13-alpine")}))).await;
    site.ready("p").await;
    site.apply(&pipeline("p", json!({"processor": handler("registry.invalid/typo:1")}))).await;
    let message = site.ready_reason("p", "PodsFailing", SOON).await;
    assert!(
        message.contains("registry.invalid/typo:1") && message.contains("1 older replicas still work"),
        "{message}"
    );
    site.apply(&pipeline("p", json!({"processor": handler("python:3.13-alpine")}))).await;
    site.ready("p").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn at_rest_nothing_is_written() {
    let Some(site) = Site::new("rest").await else { return };
    site.apply(&pipeline("p", json!({}))).await;
    site.ready("p").await;
    let requests = async || site.metric("warren_operator_api_requests_total").await.unwrap_or_default();
    let looks = async || site.metric("warren_operator_reconciles_total").await.unwrap_or_default();
    // The last status and the last watch events of the start are through: two looks without a call.
    let (mut settled, mut since) = (requests().await, looks().await);
    warren_testkit::eventually("the operator to come to rest", SOON, async || {
        let (calls, looked) = (requests().await, looks().await);
        if calls != settled {
            (settled, since) = (calls, looked);
        }
        if looked >= since + 2.0 { Ok(()) } else { Err(format!("{calls} calls, {looked} looks")) }
    })
    .await;
    let version = async || {
        let mut versions = Vec::new();
        for (kind, name) in [("pp", "p"), ("deployment", "p-web"), ("deployment", "p-processor"), ("service", "p-web")]
        {
            let object = site.namespace.get(kind, name).await.expect("is there");
            versions.push(object["metadata"]["resourceVersion"].clone());
        }
        versions
    };
    let (before, reconciles) = (version().await, looks().await);
    // Not a wait for something: that nothing happens in a minute is what is tested.
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(version().await, before);
    let reconciles = looks().await - reconciles;
    assert!(reconciles >= 4.0, "{reconciles} looks in a minute: repair needs some");
    let calls = requests().await - settled;
    assert!(calls <= 4.0, "{calls} calls in a minute at rest, for {reconciles} looks: only watches may be opened anew");
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_and_columns_are_those_of_a_native_resource() {
    let Some(site) = Site::new("columns").await else { return };
    site.apply(&pipeline("p", json!({}))).await;
    site.namespace.kubectl(&["wait", "--for=condition=Ready", "pp/p", "--timeout=90s"]).await.expect("gets ready");
    let object = site.namespace.get("pp", "p").await.expect("is there");
    for name in ["Ready", "TopologyReady", "WebAvailable", "ProcessorAvailable"] {
        let condition = condition(&object, name);
        assert_eq!((&condition["status"], &condition["observedGeneration"]), (&json!("True"), &json!(1)), "{object}");
    }
    let table = site.namespace.kubectl(&["get", "pp"]).await.expect("a table");
    let columns: Vec<_> = table.lines().next().expect("a heading").split_whitespace().collect();
    assert_eq!(columns, ["NAME", "READY", "WEB", "PROCESSORS", "BACKLOG", "AGE"]);
    assert!(table.lines().nth(1).is_some_and(|line| line.contains("True")), "{table}");
}

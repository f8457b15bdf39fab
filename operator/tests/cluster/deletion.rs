//! What is left of a deleted pipeline: what its policy says, and never a finalizer that hangs.

use super::site::{SECONDS, SOON, Site, pipeline};
use serde_json::{Value, json};
use std::{process::Command, time::Duration};
use warren_testkit::{eventually, program::Program};

/// Longer than the operator tries to reach a broker that is gone.
const GIVEN_UP: Duration = Duration::from_secs(100);

async fn delete(site: &Site, name: &str) {
    site.namespace.kubectl(&["delete", "pp", name, "--wait=false"]).await.expect("is deleted");
}

fn following_the_log(site: &Site, of: &str) -> Command {
    let mut kubectl = Command::new("kubectl");
    kubectl.arg("--kubeconfig").arg(site.namespace.cluster().kubeconfig());
    kubectl.args(["--namespace", site.namespace.name(), "logs", "--follow", of]);
    kubectl
}

fn with_policy(policy: &str) -> String {
    let processor = json!({"handler": {"demo": {"delay": "0s"}}, "timeout": "10s"});
    pipeline("p", json!({"topology": {"deletionPolicy": policy}, "processor": processor}))
}

#[tokio::test(flavor = "multi_thread")]
async fn retain_needs_no_finalizer_and_keeps_queues_and_records() {
    let Some(site) = Site::new("retain").await else { return };
    site.apply(&with_policy("Retain")).await;
    site.ready("p").await;
    let object = site.namespace.get("pp", "p").await.expect("is there");
    assert_eq!(object["metadata"].get("finalizers"), None);
    let base = site.base("p").await;
    let id = site.submit(&base, json!("kept")).await;
    site.outcome(&base, &id).await;

    delete(&site, "p").await;
    site.namespace.gone("pp", "p", SECONDS).await;
    site.namespace.gone("deployment", "p-web", SOON).await;
    assert!(site.vhost.queue("p.requests").await.is_some());
    assert!(site.namespace.get("pvc", "p-web-store").await.is_some());

    // A new pipeline of that name finds them again.
    site.apply(&with_policy("Retain")).await;
    site.ready("p").await;
    let record = site.outcome(&site.base("p").await, &id).await;
    assert_eq!(record["result"], "kept-processed");
}

#[tokio::test(flavor = "multi_thread")]
async fn delete_removes_queues_and_records() {
    let Some(site) = Site::new("delete").await else { return };
    site.apply(&with_policy("Delete")).await;
    site.ready("p").await;
    delete(&site, "p").await;
    site.namespace.gone("pp", "p", SOON).await;
    site.namespace.gone("pvc", "p-web-store", SOON).await;
    // The operator's own queue for reports goes once it looks after no pipeline there.
    eventually("no queue to be left", SECONDS, async || {
        let queues = site.vhost.queues().await;
        if queues.is_empty() { Ok(()) } else { Err(format!("{queues:?}")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_stay_if_the_policy_is_changed_to_retain_while_the_pipeline_is_being_deleted() {
    let Some(site) = Site::new("reprieve").await else { return };
    site.apply(&with_policy("Delete")).await;
    site.ready("p").await;
    site.network.cut();
    delete(&site, "p").await;
    let retain = r#"{"spec": {"topology": {"deletionPolicy": "Retain"}}}"#;
    site.namespace.kubectl(&["patch", "pp", "p", "--type=merge", "-p", retain]).await.expect("may be changed");
    site.namespace.gone("pp", "p", SOON).await;
    site.namespace.gone("deployment", "p-web", SOON).await;
    let claim = site.namespace.get("pvc", "p-web-store").await.expect("is there");
    let left = (&claim["metadata"]["ownerReferences"], &claim["metadata"]["deletionTimestamp"]);
    assert_eq!(left, (&Value::Null, &Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn delete_if_empty_removes_empty_queues_and_keeps_others() {
    let Some(site) = Site::new("ifempty").await else { return };
    site.apply(&with_policy("DeleteIfEmpty")).await;
    site.ready("p").await;
    delete(&site, "p").await;
    site.namespace.gone("pp", "p", SOON).await;
    eventually("no queue to be left", SECONDS, async || site.vhost.queues().await.is_empty()).await;

    site.apply(&with_policy("DeleteIfEmpty")).await;
    site.ready("p").await;
    site.vhost.publish("p", "dead", r#"{"requestId": 1, "requestData": 1}"#).await;
    delete(&site, "p").await;
    site.namespace.gone("pp", "p", SOON).await;
    let note = site.event("p", "TopologyLeftBehind", SECONDS).await;
    assert!(note.contains("p.dead holds 1 messages"), "{note}");
    assert!(site.vhost.queue("p.requests").await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_gone_for_good_does_not_keep_a_pipeline_from_being_deleted() {
    let Some(site) = Site::new("gone").await else { return };
    site.apply(&with_policy("Delete")).await;
    site.ready("p").await;
    site.network.cut();
    delete(&site, "p").await;
    site.namespace.gone("pp", "p", GIVEN_UP).await;
    let note = site.event("p", "TopologyLeftBehind", SECONDS).await;
    assert!(note.contains("cannot reach RabbitMQ"), "{note}");
}

#[tokio::test(flavor = "multi_thread")]
async fn work_that_has_begun_ends_before_empty_classic_queues_are_removed() {
    let Some(site) = Site::new("classic").await else { return };
    let manifest = pipeline(
        "p",
        json!({
            "topology": {"queueType": "classic", "deletionPolicy": "DeleteIfEmpty"},
            "processor": {"handler": {"demo": {"delay": "12s"}}, "timeout": "30s"},
        }),
    );
    site.apply(&manifest).await;
    site.ready("p").await;
    let base = site.base("p").await;
    let id = site.submit(&base, json!("late")).await;
    // Not as soon as it is delivered: what has not begun is given back.
    eventually("the work to begin", SECONDS, async || {
        let url = format!("{base}/api/v1/requests/{id}");
        let answer = reqwest::get(url).await.map_err(|error| error.to_string())?;
        let record: Value = answer.json().await.map_err(|error| error.to_string())?;
        if record["status"] == "started" { Ok(()) } else { Err(record.to_string()) }
    })
    .await;
    // Printed if the test fails: the Pod is gone by then.
    let _processor = Program::start(following_the_log(&site, "deployment/p-processor"));
    delete(&site, "p").await;
    site.namespace.gone("pp", "p", SOON).await;
    assert_eq!(site.vhost.queues().await, []);

    site.apply(&manifest).await;
    site.ready("p").await;
    assert_eq!(site.outcome(&site.base("p").await, &id).await["result"], "late-processed");
}

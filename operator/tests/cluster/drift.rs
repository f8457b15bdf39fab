//! What somebody else deletes or edits comes back within seconds.

use super::site::{SECONDS, Site, pipeline};
use serde_json::{Value, json};
use warren_testkit::eventually;

#[tokio::test(flavor = "multi_thread")]
async fn deleted_and_edited_objects_are_restored() {
    let Some(site) = Site::new("drift").await else { return };
    site.apply(&pipeline("p", json!({}))).await;
    site.ready("p").await;
    let namespace = &site.namespace;

    let before = namespace.get("deployment", "p-processor").await.expect("is there");
    namespace.kubectl(&["delete", "deployment/p-processor", "service/p-web"]).await.expect("is deleted");
    let anew = |object: &Value| object["metadata"]["uid"] != before["metadata"]["uid"];
    namespace.get_when("deployment", "p-processor", "a new Deployment", SECONDS, anew).await;
    namespace.get_when("service", "p-web", "a new Service", SECONDS, |_| true).await;
    site.event("p", "DriftRepaired", SECONDS).await;

    let value = r#"[{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "evil:1"}]"#;
    namespace.kubectl(&["patch", "deployment", "p-web", "--type=json", "-p", value]).await.expect("is patched");
    let image = |object: &Value| object["spec"]["template"]["spec"]["containers"][0]["image"] != "evil:1";
    namespace.get_when("deployment", "p-web", "the image to be restored", SECONDS, image).await;

    namespace.kubectl(&["label", "service", "p-web", "app.kubernetes.io/managed-by-"]).await.expect("is unlabelled");
    let labelled = |object: &Value| object["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "warren-operator";
    namespace.get_when("service", "p-web", "the label to be restored", SECONDS, labelled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_queue_and_a_deleted_binding_are_restored() {
    let Some(site) = Site::new("queues").await else { return };
    site.apply(&pipeline("p", json!({}))).await;
    site.ready("p").await;
    let channel = site.vhost.connect().await.create_channel().await.expect("a channel");
    channel.queue_delete("p.requests".into(), Default::default()).await.expect("is deleted");
    eventually("the queue to be declared anew", SECONDS, async || site.vhost.queue("p.requests").await).await;
    let note = site.event("p", "TopologyRepaired", SECONDS).await;
    assert!(note.contains("queue p.requests"), "{note}");

    let unbound = channel.queue_unbind("p.results".into(), "p".into(), "result".into(), Default::default()).await;
    unbound.expect("is unbound");
    eventually("the binding to be restored", SECONDS, async || {
        let bindings = site.vhost.bindings().await;
        bindings.iter().any(|binding| binding.destination == "p.results" && binding.routing_key == "result")
    })
    .await;
    let base = site.base("p").await;
    let id = site.submit(&base, json!("after")).await;
    assert_eq!(site.outcome(&base, &id).await["result"], "after-processed");
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_elses_object_is_not_taken_over() {
    let Some(site) = Site::new("taken").await else { return };
    let theirs = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "p-web", "labels": {"mine": "yes"}},
        "spec": {"selector": {"app": "mine"}, "ports": [{"port": 80}]}});
    site.apply(&theirs.to_string()).await;
    site.apply(&pipeline("p", json!({}))).await;
    let message = site.ready_reason("p", "NameTaken", SECONDS).await;
    assert!(message.contains("Service `p-web` exists and does not belong to this pipeline"), "{message}");
    let service = site.namespace.get("service", "p-web").await.expect("is there");
    assert_eq!(service["spec"]["selector"], json!({"app": "mine"}));
    assert_eq!(service["metadata"]["ownerReferences"], Value::Null);

    site.namespace.kubectl(&["delete", "service", "p-web"]).await.expect("is deleted");
    site.ready("p").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_pipeline_no_longer_needs_is_removed() {
    let Some(site) = Site::new("prune").await else { return };
    site.apply(&pipeline("p", json!({}))).await;
    site.ready("p").await;
    site.apply(&pipeline("p", json!({"processor": {"managed": false}}))).await;
    site.namespace.gone("deployment", "p-processor", SECONDS).await;
    site.event("p", "ObjectsPruned", SECONDS).await;
    site.ready("p").await;
    assert!(site.namespace.get("deployment", "p-web").await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_operator_looks_at_every_pipeline_and_changes_nothing_that_is_right() {
    let Some(mut site) = Site::new("restart").await else { return };
    let names = ["a", "b", "c"];
    for name in names {
        site.apply(&pipeline(name, json!({}))).await;
    }
    for name in names {
        site.ready(name).await;
    }
    let generations = async |site: &Site| {
        let mut generations = Vec::new();
        for name in names {
            let deployment = site.namespace.get("deployment", &format!("{name}-web")).await.expect("is there");
            generations.push(deployment["metadata"]["generation"].clone());
        }
        generations
    };
    let before = generations(&site).await;
    site.operator.kill9();
    site.namespace.kubectl(&["delete", "service", "a-web", "b-web", "c-web"]).await.expect("are deleted");
    site.replace_operator();
    for name in names {
        let service = format!("{name}-web");
        site.namespace.get_when("service", &service, "the Service to be restored", SECONDS, |_| true).await;
    }
    assert_eq!(generations(&site).await, before);
}

//! The API server refuses what the schema forbids, in the words that `local` uses.

use super::site::{cluster_with_crd, pipeline};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn the_api_server_refuses_what_local_refuses_with_the_same_words() {
    let Some(cluster) = cluster_with_crd().await else { return };
    let namespace = cluster.namespace("crd").await;
    for (spec, words) in [
        (json!({"web": {"replicas": 2}}), "sqlite"),
        (json!({"processor": {"handler": {"demo": {}}, "timeout": "45m"}}), "timeout must be above 0s and below 30m"),
        (json!({"processor": {"handler": {}}}), "exactly one"),
        (json!({"topology": {"exchange": "amq.mine"}}), "names that start with amq. belong to RabbitMQ itself"),
        (
            json!({"processor": {"handler": {"demo": {}}, "scaling": {"minReplicas": 5, "maxReplicas": 2}}}),
            "scaling.minReplicas is above scaling.maxReplicas",
        ),
    ] {
        let refusal = namespace.apply(&pipeline("p", spec)).await.expect_err("is refused");
        assert!(refusal.contains(words), "{words}: {refusal}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_queues_cannot_change_once_they_are_chosen() {
    let Some(cluster) = cluster_with_crd().await else { return };
    let namespace = cluster.namespace("crd").await;
    namespace.apply(&pipeline("p", json!({}))).await.expect("is accepted");
    let refusal = namespace.apply(&pipeline("p", json!({"topology": {"exchange": "other"}}))).await;
    assert!(refusal.expect_err("is refused").contains("spec.topology.exchange cannot change"));
    // The default, said aloud, is no change.
    namespace.apply(&pipeline("p", json!({"topology": {"exchange": "p"}}))).await.expect("is accepted");
    let refusal = namespace.apply(&pipeline("p", json!({"topology": {"queueType": "classic"}}))).await;
    assert!(refusal.expect_err("is refused").contains("topology.queueType cannot change"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_is_accepted_as_it_stands() {
    let Some(cluster) = cluster_with_crd().await else { return };
    let namespace = cluster.namespace("examples").await;
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples");
    let answer = namespace.kubectl(&["apply", "--dry-run=server", "-f", examples]).await;
    let answer = answer.unwrap_or_else(|refusal| panic!("{refusal}"));
    assert!(answer.matches("processingpipeline.warren.dev/").count() >= 4, "{answer}");
    assert!(answer.contains("statefulset.apps/rabbitmq created"), "{answer}");
    assert!(!answer.contains("Warning"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_explain_reads_well() {
    let Some(cluster) = cluster_with_crd().await else { return };
    let told = cluster.run("kubectl", &["explain", "pp.spec.processor.scaling"], "").await.expect("is explained");
    for words in ["minReplicas", "Fewest replicas", "How the number of"] {
        assert!(told.contains(words), "{told}");
    }
}

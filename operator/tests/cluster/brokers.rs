//! The broker goes, comes back, changes its password, or is claimed twice.

use super::site::{SECONDS, SOON, Site, pipeline, secret};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::{Value, json};
use std::{
    fs,
    time::{Duration, Instant},
};
use warren_rabbitmq_node::{Settings, Tls};
use warren_testkit::{broker, cluster, free_port};

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_away_hides_nothing_and_is_used_again_without_anyones_help() {
    let Some(site) = Site::new("away").await else { return };
    site.apply(&pipeline("p", json!({}))).await;
    site.ready("p").await;
    let base = site.base("p").await;
    let id = site.submit(&base, json!("early")).await;
    site.outcome(&base, &id).await;
    site.network.cut();
    let message = site.ready_reason("p", "BrokerUnreachable", SOON).await;
    assert!(message.contains("cannot reach RabbitMQ"), "{message}");
    // For longer than a readiness probe takes to fail.
    let until = Instant::now() + Duration::from_secs(8);
    while Instant::now() < until {
        let submit = reqwest::Client::new().post(format!("{base}/api/v1/processData")).json(&json!({"data": 1}));
        let answer = submit.send().await.expect("somebody answers");
        assert_eq!(answer.status(), 503);
        assert!(answer.headers().contains_key("retry-after"), "{answer:?}");
        assert_eq!(site.outcome(&base, &id).await["result"], "early-processed", "results can be read meanwhile");
    }
    site.network.restore();
    site.ready("p").await;
    let id = site.submit(&base, json!("back")).await;
    assert_eq!(site.outcome(&base, &id).await["result"], "back-processed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_hangs_is_told() {
    let Some(site) = Site::new("hangs").await else { return };
    // With Warren's own heartbeats the connection would end by itself, and tell.
    let url = format!("{}?heartbeat=60", site.broker_url());
    site.apply(&secret("rabbitmq", json!({"url": url}))).await;
    site.apply(&pipeline("p", json!({}))).await;
    site.ready("p").await;
    site.network.swallow();
    let message = site.ready_reason("p", "BrokerUnreachable", Duration::from_secs(45)).await;
    assert!(message.contains("does not answer"), "{message}");
    site.network.restore();
    site.ready("p").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_pipelines_on_one_exchange_the_older_one_keeps_it() {
    let Some(site) = Site::new("rivals").await else { return };
    let on_shared = |name: &str| pipeline(name, json!({"topology": {"exchange": "shared"}}));
    site.apply(&on_shared("old")).await;
    site.ready_reason("old", "Running", SOON).await;
    site.apply(&on_shared("young")).await;
    let message = site.ready_reason("young", "ExchangeTaken", SECONDS).await;
    assert!(message.contains("/old was there first"), "{message}");
    assert!(site.namespace.get("deployment", "young-web").await.is_none());
    site.namespace.kubectl(&["delete", "pp", "old"]).await.expect("is deleted");
    site.ready("young").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_secret_rolls_the_workers_and_loses_nothing() {
    let Some(site) = Site::new("rotate").await else { return };
    let scaling = json!({"minReplicas": 1, "maxReplicas": 1});
    let processor = json!({"handler": {"demo": {"delay": "200ms"}}, "concurrency": 4, "scaling": scaling});
    site.apply(&pipeline("p", json!({"processor": processor}))).await;
    site.ready("p").await;
    let revision = |object: &Value| object["spec"]["template"]["metadata"]["annotations"]["warren.dev/secrets"].clone();
    let before = revision(&site.namespace.get("deployment", "p-processor").await.expect("is there"));
    let label = ["label", "secret", "rabbitmq", "looked-at=yes"];
    site.namespace.kubectl(&label).await.expect("is labelled");
    let base = site.base("p").await;
    let mut ids = Vec::new();
    for number in 0..60 {
        if number == 20 {
            // Another spelling of the same address: as good as a new password for whom it concerns.
            let url = format!("{}?heartbeat=11", site.broker_url());
            site.apply(&secret("rabbitmq", json!({"url": url}))).await;
        }
        ids.push((number, site.submit(&base, json!(number)).await));
    }
    site.event("p", "SecretRotated", SECONDS).await;
    let rolled = |object: &Value| {
        let (status, replicas) = (&object["status"], &object["spec"]["replicas"]);
        revision(object) != before && status["updatedReplicas"] == *replicas && status["availableReplicas"] == *replicas
    };
    for side in ["p-web", "p-processor"] {
        site.namespace.get_when("deployment", side, "the workers to be replaced", SOON, rolled).await;
    }
    let generation =
        site.namespace.get("deployment", "p-processor").await.expect("is there")["metadata"]["generation"].clone();
    assert_eq!(generation, 2, "a new label on the Secret replaces nobody");
    for (number, id) in ids {
        assert_eq!(site.outcome(&base, &id).await["result"], json!(format!("{number}-processed")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_the_broker_refuses_replaces_nobody() {
    let Some(site) = Site::new("refused").await else { return };
    site.apply(&pipeline("p", json!({}))).await;
    site.ready("p").await;
    let base = site.base("p").await;
    let wrong = site.broker_url().replace("guest:guest@", "guest:wrong@");
    site.apply(&secret("rabbitmq", json!({"url": wrong}))).await;
    site.ready_reason("p", "LoginRefused", SOON).await;
    let id = site.submit(&base, json!("x")).await;
    assert_eq!(site.outcome(&base, &id).await["result"], "x-processed", "all goes on");
    let url = format!("{}?heartbeat=11", site.broker_url());
    site.apply(&secret("rabbitmq", json!({"url": url}))).await;
    site.event("p", "SecretRotated", SECONDS).await;
    site.ready("p").await;
    for side in ["p-web", "p-processor"] {
        let deployment = site.namespace.get("deployment", side).await.expect("is there");
        assert_eq!(deployment["metadata"]["generation"], 2, "{side} was replaced once: {deployment}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_is_trusted_by_the_authority_that_the_pipeline_names() {
    let Some(site) = Site::without_secret("tls").await else { return };
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().expect("a key")).expect("is signed");
    let key = KeyPair::generate().expect("a key");
    let host = CertificateParams::new([cluster::host().to_string()]).expect("an address");
    let certificate = host.signed_by(&key, &authority).expect("is signed");
    let files = tempfile::tempdir().expect("a directory");
    let tls = Tls { port: free_port(), certificate: files.path().join("crt"), key: files.path().join("key") };
    fs::write(&tls.certificate, certificate.pem()).expect("is written");
    fs::write(&tls.key, key.serialize_pem()).expect("is written");
    let port = tls.port;
    let _node = broker::start(Settings { tls: Some(tls), ..broker::private_settings() }).await;
    let network = cluster::reachable(format!("127.0.0.1:{port}"));
    let url = format!("amqps://guest:guest@{}/", network.address());
    site.apply(&secret("rabbitmq", json!({"url": url, "ca.crt": authority.pem()}))).await;

    site.apply(&pipeline("p", json!({}))).await;
    let message = site.ready_reason("p", "BrokerNotTrusted", SECONDS).await;
    assert!(message.contains("spec.broker.caSecretRef"), "{message}");
    let trusted =
        json!({"secretRef": {"name": "rabbitmq", "key": "url"}, "caSecretRef": {"name": "rabbitmq", "key": "ca.crt"}});
    site.apply(&pipeline("p", json!({"broker": trusted}))).await;
    site.ready("p").await;
    let base = site.base("p").await;
    let id = site.submit(&base, json!("sealed")).await;
    assert_eq!(site.outcome(&base, &id).await["result"], "sealed-processed");
}

//! Arguments of queues cannot change in place.

use super::site::{SECONDS, SOON, Site, condition, pipeline};
use serde_json::{Value, json};
use warren_testkit::eventually;

fn limited(length: u64, handler_delay: &str) -> String {
    let processor = json!({"handler": {"demo": {"delay": handler_delay}}, "timeout": "2m"});
    pipeline("p", json!({"topology": {"maxLength": length}, "processor": processor}))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_limit_reaches_an_empty_queue_and_nothing_is_lost() {
    let Some(site) = Site::new("migrate").await else { return };
    site.apply(&limited(1000, "0s")).await;
    site.ready("p").await;
    site.apply(&limited(2000, "0s")).await;
    site.event("p", "QueueMigrated", SOON).await;
    let wanted =
        |object: &Value| object["status"]["observedGeneration"] == 2 && condition(object, "Ready")["status"] == "True";
    site.namespace.get_when("pp", "p", "the pipeline to be ready again", SOON, wanted).await;
    let limit = site.vhost.queue("p.requests").await.expect("is there").arguments["x-max-length"].clone();
    assert_eq!(limit, json!(2000));
    let base = site.base("p").await;
    let id = site.submit(&base, json!("after")).await;
    assert_eq!(site.outcome(&base, &id).await["result"], "after-processed");
}

#[tokio::test(flavor = "multi_thread")]
async fn processors_of_which_nobody_counts_the_number_come_back_after_their_queue_was_replaced() {
    let Some(site) = Site::new("paused").await else { return };
    site.apply(&limited(1000, "0s")).await;
    site.ready("p").await;
    let pause = ["annotate", "pp", "p", "warren.dev/scaling-paused=true"];
    site.namespace.kubectl(&pause).await.expect("is annotated");
    let paused = |object: &Value| condition(object, "ScalingActive")["reason"] == "Paused";
    site.namespace.get_when("pp", "p", "the pause", SECONDS, paused).await;
    site.namespace.kubectl(&["scale", "deployment", "p-processor", "--replicas=2"]).await.expect("is scaled");
    let two = |object: &Value| object["status"]["readyReplicas"] == 2;
    site.namespace.get_when("deployment", "p-processor", "both", SOON, two).await;
    site.apply(&limited(2000, "0s")).await;
    site.event("p", "QueueMigrated", SOON).await;
    site.namespace.get_when("deployment", "p-processor", "both again", SOON, two).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_holds_requests_stays_as_it_is_and_the_condition_explains_it() {
    let Some(site) = Site::new("full").await else { return };
    site.apply(&limited(1000, "1m")).await;
    site.ready("p").await;
    let base = site.base("p").await;
    let mut ids = Vec::new();
    for number in 0..3 {
        ids.push(site.submit(&base, json!(number)).await);
    }
    site.apply(&limited(2000, "0s")).await;
    let message = site.ready_reason("p", "QueueDiffers", SECONDS).await;
    assert!(message.contains("x-max-length") && message.contains("1000") && message.contains("2000"), "{message}");
    // The processor with the new handler works them off; then the queue is replaced by itself.
    for (number, id) in ids.iter().enumerate() {
        assert_eq!(site.outcome(&base, id).await["result"], json!(format!("{number}-processed")));
    }
    eventually("the queue to have the new limit", SOON, async || {
        site.vhost.queue("p.requests").await.is_some_and(|queue| queue.arguments["x-max-length"] == json!(2000))
    })
    .await;
    site.ready("p").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn retry_tiers_follow_the_policy() {
    let Some(site) = Site::new("tiers").await else { return };
    let with_delay = |delay: &str| {
        let retry = json!({"maxAttempts": 2, "initialDelay": delay, "maxDelay": delay});
        pipeline("p", json!({"processor": {"handler": {"demo": {"delay": "0s"}}, "retry": retry}}))
    };
    site.apply(&with_delay("7s")).await;
    site.ready("p").await;
    assert!(site.vhost.queue("p.retry.7s").await.is_some());
    site.apply(&with_delay("9s")).await;
    eventually("the new tier", SECONDS, async || site.vhost.queue("p.retry.9s").await).await;
    // The old one is unbound at once, and goes when it has been empty for longer than a late retry may take.
    eventually("the old tier to be unbound", SOON, async || {
        !site.vhost.bindings().await.iter().any(|binding| binding.destination == "p.retry.7s")
    })
    .await;
    let object = site.namespace.get("pp", "p").await.expect("is there");
    assert_eq!(object["status"]["retryTiers"], json!(["9s", "7s"]));
}

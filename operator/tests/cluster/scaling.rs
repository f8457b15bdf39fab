//! Processors come and go with the work, and never go while they have some.

use super::site::{SECONDS, SOON, Site, condition, pipeline};
use lapin::options::QueueDeleteOptions;
use serde_json::{Value, json};
use std::time::Duration;
use warren_testkit::eventually;

const MINUTE: Duration = Duration::from_secs(60);

/// A pipeline whose requests take `delay`, with these scaling settings.
pub fn scaled(delay: &str, scaling: Value) -> String {
    pipeline("p", json!({"processor": {"handler": {"demo": {"delay": delay}}, "scaling": scaling}}))
}

impl Site {
    pub async fn processors(&self) -> i64 {
        let deployment = self.namespace.get("deployment", "p-processor").await;
        deployment.map_or(-1, |deployment| deployment["spec"]["replicas"].as_i64().unwrap_or(-1))
    }

    /// Waits until the number of processors that are asked for is as wanted.
    pub async fn processors_when(&self, what: &str, wanted: impl Fn(i64) -> bool) -> i64 {
        eventually(what, SOON, async || {
            let processors = self.processors().await;
            if wanted(processors) { Ok(processors) } else { Err(format!("{processors} processors")) }
        })
        .await
    }

    pub async fn scaling_reason(&self, reason: &str) -> Value {
        let wanted = |object: &Value| condition(object, "ScalingActive")["reason"] == reason;
        let object = self.namespace.get_when("pp", "p", &format!("reason {reason}"), SOON, wanted).await;
        condition(&object, "ScalingActive")
    }

    pub async fn submit_many(&self, count: usize) -> Vec<String> {
        let base = self.base("p").await;
        futures::future::join_all((0..count).map(|number| self.submit(&base, json!(number)))).await
    }

    /// Waits for all outcomes; every request ended once.
    pub async fn all_end_once(&self, ids: &[String]) {
        let base = self.base("p").await;
        for id in ids {
            assert_eq!(self.outcome(&base, id).await["status"], "succeeded");
        }
        let metrics = reqwest::get(format!("{base}/metrics")).await.expect("an answer").text().await.expect("a text");
        let ended = metrics.lines().find(|line| line.starts_with("warren_web_requests_ended_total"));
        let ended: usize = ended.and_then(|line| line.rsplit(' ').next()?.parse().ok()).expect("a number");
        assert_eq!(ended, ids.len(), "no request ran twice");
    }

    pub async fn nobody_was_stopped_busy(&self) {
        assert_eq!(self.metric("warren_operator_scaling_busy_stops_total").await, Some(0.0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_wakes_a_sleeping_pipeline_and_rest_lets_it_sleep_again() {
    let Some(site) = Site::new("burst").await else { return };
    site.apply(&scaled("500ms", json!({"maxReplicas": 4, "backlogPerReplica": 5, "idleSeconds": 5}))).await;
    site.ready("p").await;
    site.processors_when("sleep", |processors| processors == 0).await;
    let message = site.scaling_reason("Idle").await["message"].as_str().unwrap_or_default().to_owned();
    assert!(message.ends_with("minReplicas is 0"), "{message}");

    let ids = site.submit_many(40).await;
    site.processors_when("the most that may be", |processors| processors == 4).await;
    let four = |object: &Value| object["status"]["processor"]["desiredReplicas"] == 4;
    site.namespace.get_when("pp", "p", "the status to tell", SECONDS, four).await;
    let note = site.event("p", "ScaledUp", SECONDS).await;
    assert!(note.starts_with("from 0 to ") && note.contains("at 5 per replica"), "{note}");
    site.all_end_once(&ids).await;
    site.processors_when("sleep", |processors| processors == 0).await;
    site.event("p", "ScaledDown", SECONDS).await;
    site.nobody_was_stopped_busy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_somebody_writes_is_led_back_unless_scaling_is_paused_or_external() {
    let Some(site) = Site::new("hand").await else { return };
    let scaling = json!({"maxReplicas": 5, "idleSeconds": 0});
    site.apply(&scaled("0s", scaling)).await;
    site.processors_when("sleep", |processors| processors == 0).await;
    let write = async |number: &str| {
        let replicas = format!("--replicas={number}");
        site.namespace.kubectl(&["scale", "deployment", "p-processor", &replicas]).await.expect("is scaled");
    };
    write("3").await;
    site.processors_when("sleep", |processors| processors == 0).await;

    let annotate = async |value: &str| {
        site.namespace.kubectl(&["annotate", "pp", "p", "--overwrite", value]).await.expect("is annotated");
    };
    annotate("warren.dev/scaling-paused=true").await;
    site.scaling_reason("Paused").await;
    write("2").await;
    site.namespace.get_when("deployment", "p-processor", "two", SOON, |it| it["status"]["readyReplicas"] == 2).await;
    assert_eq!(site.processors().await, 2, "pods have started meanwhile, and nobody took them away");
    annotate("warren.dev/scaling-paused-").await;
    site.processors_when("sleep", |processors| processors == 0).await;

    let processor = json!({"handler": {"demo": {"delay": "0s"}}, "replicas": 2, "scaling": {"mode": "External"}});
    site.apply(&pipeline("p", json!({"processor": processor}))).await;
    site.scaling_reason("External").await;
    site.processors_when("two", |processors| processors == 2).await;
    site.namespace.kubectl(&["scale", "pp", "p", "--replicas=1"]).await.expect("is scaled");
    site.processors_when("one", |processors| processors == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_broker_is_away_for_a_minute_the_number_holds_and_the_condition_says_so() {
    let Some(site) = Site::new("away").await else { return };
    site.apply(&scaled("2s", json!({"maxReplicas": 3, "backlogPerReplica": 5, "idleSeconds": 0}))).await;
    site.ready("p").await;
    let ids = site.submit_many(30).await;
    site.processors_when("three", |processors| processors == 3).await;
    site.network.cut();
    let message = site.scaling_reason("BacklogUnknown").await["message"].as_str().unwrap_or_default().to_owned();
    assert!(message.contains("stays at 3"), "{message}");
    // Not a wait for something: that nothing happens in a minute is what is tested.
    tokio::time::sleep(MINUTE).await;
    assert_eq!(site.processors().await, 3);
    site.network.restore();
    let base = site.base("p").await;
    for id in &ids {
        assert_eq!(site.outcome(&base, id).await["status"], "succeeded");
    }
    site.processors_when("sleep", |processors| processors == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lowered_maximum_and_a_shrinking_load_end_nobody_who_is_busy() {
    let Some(site) = Site::new("gentle").await else { return };
    let scaling = |most: u32| json!({"maxReplicas": most, "backlogPerReplica": 1, "idleSeconds": 0});
    site.apply(&scaled("8s", scaling(6))).await;
    site.ready("p").await;
    let ids = site.submit_many(6).await;
    site.processors_when("six", |processors| processors == 6).await;
    site.apply(&scaled("8s", scaling(2))).await;
    site.all_end_once(&ids).await;
    site.processors_when("sleep", |processors| processors == 0).await;
    site.nobody_was_stopped_busy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_queue_holds_the_number_and_a_deleted_pipeline_is_let_go() {
    let Some(site) = Site::new("gone").await else { return };
    site.apply(&scaled("30s", json!({"maxReplicas": 3, "backlogPerReplica": 1, "idleSeconds": 600}))).await;
    site.ready("p").await;
    site.submit_many(3).await;
    site.processors_when("three", |processors| processors == 3).await;
    let channel = site.vhost.channel().await;
    // It is declared again within seconds, maybe before it is missed.
    eventually("the queue to be missed", SOON, async || {
        channel.queue_delete("p.requests".into(), QueueDeleteOptions::default()).await.expect("is deleted");
        let unknown = "warren_operator_scaling_decisions_total{reason=\"BacklogUnknown\"}";
        site.metric(unknown).await.ok_or("no decision without a backlog")
    })
    .await;
    eventually("the queue", SOON, async || site.vhost.queue("p.requests").await.ok_or("it is missing")).await;
    assert_eq!(site.processors().await, 3);
    site.namespace.kubectl(&["delete", "pp", "p", "--wait=false"]).await.expect("is deleted");
    site.namespace.gone("deployment", "p-processor", SOON).await;
    eventually("its figures to go", SECONDS, async || {
        let shown = site.metric("warren_operator_scaling_current_replicas").await;
        shown.map_or(Ok(()), |shown| Err(format!("{shown}")))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_leader_goes_on_where_the_old_one_was_killed() {
    let Some(mut site) = Site::new("heir").await else { return };
    let processor = json!({"handler": {"demo": {"delay": "5s"}}, "concurrency": 1,
        "scaling": {"maxReplicas": 4, "backlogPerReplica": 2, "idleSeconds": 5}});
    site.apply(&pipeline("p", json!({"processor": processor}))).await;
    site.ready("p").await;
    let ids = site.submit_many(24).await;
    site.processors_when("all", |processors| processors == 4).await;
    site.nobody_was_stopped_busy().await;
    site.replace_operator();
    let decisions = async || site.metric("warren_operator_scaling_decisions_total").await.unwrap_or_default();
    eventually("some decisions of the new one", SOON, async || {
        let made = decisions().await;
        if made >= 5.0 { Ok(()) } else { Err(format!("{made}")) }
    })
    .await;
    assert_eq!(site.processors().await, 4, "there is work for all of them");
    site.all_end_once(&ids).await;
    site.processors_when("sleep", |processors| processors == 0).await;
    site.nobody_was_stopped_busy().await;
}

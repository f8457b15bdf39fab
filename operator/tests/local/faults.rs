//! What scaling goes by is lost, late, double or absurd. Nobody who works is ended, and nothing runs twice for it.

use super::running::{Local, SOON, pipeline};
use lapin::{
    BasicProperties,
    options::{QueueBindOptions, QueueDeclareOptions},
};
use serde_json::{Value, json};
use std::time::Duration;
use warren_testkit::{
    broker::{self, Vhost},
    eventually,
};

const MINUTE: Duration = Duration::from_secs(60);

fn scaled(delay: &str, scaling: Value) -> String {
    pipeline("p", json!({"handler": {"demo": {"delay": delay}}, "scaling": scaling}))
}

impl Local {
    async fn processors_when(&self, what: &str, wanted: impl Fn(usize) -> bool) -> usize {
        eventually(what, SOON, async || {
            let processors = self.pids("warren-processor").len();
            if wanted(processors) { Ok(processors) } else { Err(format!("{processors} processors")) }
        })
        .await
    }

    async fn submit_many(&self, base: &str, count: usize) -> Vec<String> {
        futures::future::join_all((0..count).map(|number| self.submit(base, json!(number)))).await
    }

    /// All of them ended well, at their first attempt and without a processor that was asked to end meanwhile.
    async fn all_end_undisturbed(&self, base: &str, ids: &[String]) {
        for id in ids {
            assert_eq!(self.record_when(base, id, "succeeded").await["attempts"], 1);
        }
        let output = self.program.output();
        let busy: Vec<_> = output.lines().filter(|line| line.contains("takes no more requests")).collect();
        assert!(busy.iter().all(|line| line.contains("in_work=0")), "{busy:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_away_for_a_minute_in_mid_burst_costs_neither_requests_nor_processors() {
    let mut node = broker::private().await;
    let scaling = json!({"maxReplicas": 4, "backlogPerReplica": 5, "idleSeconds": 0});
    let mut local = Local::start(&scaled("1s", scaling), Some(&node.url())).await;
    let base = local.base("p").await;
    let ids = local.submit_many(&base, 40).await;
    let before = local.processors_when("some", |processors| processors >= 2).await;
    node.kill();
    // Not a wait for something: that nobody goes in this time is what is tested.
    tokio::time::sleep(MINUTE).await;
    let after = local.pids("warren-processor").len();
    assert!(after >= before, "of {before} processors {after} are left");
    node.start_again().await.expect("starts");
    for id in &ids {
        local.record_when(&base, id, "succeeded").await;
    }
    local.processors_when("sleep", |processors| processors == 0).await;
    local.end().await;
}

/// A report as it came, and what else there is to say of workers.
async fn reports(vhost: &Vhost, count: usize) -> Vec<(Vec<u8>, BasicProperties)> {
    let channel = vhost.channel().await;
    channel
        .queue_declare("overheard".into(), QueueDeclareOptions::default(), Default::default())
        .await
        .expect("is made");
    let bound = channel.queue_bind(
        "overheard".into(),
        "p".into(),
        "stats".into(),
        QueueBindOptions::default(),
        Default::default(),
    );
    bound.await.expect("is bound");
    let mut overheard = Vec::new();
    eventually("reports of idle processors", SOON, async || {
        while let Some(report) = vhost.get("overheard").await {
            let said: Value = serde_json::from_slice(&report.data).expect("JSON");
            if said["role"] == "processor" && said["inFlight"] == 0 {
                overheard.push((report.data, report.properties));
            }
        }
        if overheard.len() >= count { Ok(()) } else { Err(format!("{}", overheard.len())) }
    })
    .await;
    channel.queue_delete("overheard".into(), Default::default()).await.expect("is deleted");
    overheard
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_that_come_late_and_twice_end_nobody_who_has_work_meanwhile() {
    let vhost = broker::vhost("late").await;
    let scaling = json!({"minReplicas": 0, "maxReplicas": 2, "backlogPerReplica": 1, "idleSeconds": 3});
    let mut local = Local::start(&scaled("5s", scaling), Some(&vhost.url())).await;
    let base = local.base("p").await;
    let first = local.submit_many(&base, 2).await;
    for id in &first {
        local.record_when(&base, id, "succeeded").await;
    }
    let idle = reports(&vhost, 2).await;
    let ids = local.submit_many(&base, 2).await;
    for id in &ids {
        local.record_when(&base, id, "started").await;
    }
    // Through all of the work: they say that nobody has any.
    eventually("the work to end", SOON, async || {
        for (body, properties) in &idle {
            vhost.publish_with("p", "stats", body, properties.clone()).await;
            vhost.publish_with("p", "stats", body, properties.clone()).await;
        }
        let mut open = 0;
        for id in &ids {
            let record = local.get(&base, &format!("/api/v1/requests/{id}")).await?;
            open += usize::from(record["status"] != "succeeded");
        }
        if open == 0 { Ok(()) } else { Err(format!("{open} are not done")) }
    })
    .await;
    local.all_end_undisturbed(&base, &ids).await;
    local.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn absurd_reports_change_nothing() {
    let vhost = broker::vhost("absurd").await;
    let scaling = json!({"maxReplicas": 3, "backlogPerReplica": 1, "idleSeconds": 1});
    let mut local = Local::start(&scaled("5s", scaling), Some(&vhost.url())).await;
    let base = local.base("p").await;
    let ids = local.submit_many(&base, 2).await;
    for id in &ids {
        local.record_when(&base, id, "started").await;
    }
    let report = |worker: &str, in_flight: &str, busy: &str| {
        format!(
            r#"{{"worker":"{worker}","role":"processor","inFlight":{in_flight},"capacity":1,"processedTotal":{},
            "busySecondsTotal":{busy}}}"#,
            u64::MAX
        )
    };
    // Of a clock that is centuries off, too: when a report came counts, not what it says of that.
    let properties = || BasicProperties::default().with_timestamp(u64::MAX);
    let absurd = [
        "no JSON".into(),
        "[]".into(),
        r#"{"worker":"half"#.into(),
        report("nan", "0", "NaN"),
        report("negative", "-3", "0"),
        report("shrinking", "0", "-1e9"),
        report("endless", "0", "1e999"),
        report("huge", "18446744073709551615", "0"),
        report(&"long".repeat(200), "0", "0"),
        report("", "0", "0"),
    ];
    for body in absurd.iter().cycle().take(20 * absurd.len()) {
        vhost.publish_with("p", "stats", body, properties()).await;
    }
    assert_eq!(local.pids("warren-processor").len(), 2);
    local.all_end_undisturbed(&base, &ids).await;
    local.processors_when("sleep", |processors| processors == 0).await;
    local.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn processors_that_vanish_with_work_are_replaced_and_it_is_done_again() {
    let vhost = broker::vhost("vanish").await;
    let scaling = json!({"maxReplicas": 3, "backlogPerReplica": 1, "idleSeconds": 1});
    let mut local = Local::start(&scaled("4s", scaling), Some(&vhost.url())).await;
    let base = local.base("p").await;
    let ids = local.submit_many(&base, 3).await;
    local.processors_when("three", |processors| processors == 3).await;
    for id in &ids {
        local.record_when(&base, id, "started").await;
    }
    local.kill9("warren-processor");
    for id in &ids {
        local.record_when(&base, id, "succeeded").await;
    }
    local.processors_when("sleep", |processors| processors == 0).await;
    local.end().await;
}

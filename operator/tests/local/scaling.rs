//! Processors come and go with short gaps of work, and none is ended while it has some.

use super::running::{Local, SOON, file, pipeline};
use serde_json::json;
use std::time::Duration;
use warren_testkit::{broker, eventually};

const ROUNDS: u32 = 25;

#[tokio::test(flavor = "multi_thread")]
async fn no_busy_processor_is_ended_however_short_the_gaps_of_work_are() {
    let vhost = broker::vhost("gaps").await;
    let processor = json!({
        "handler": {"demo": {"delay": "300ms"}},
        "scaling": {"maxReplicas": 4, "backlogPerReplica": 1, "idleSeconds": 0},
    });
    let mut local = Local::start(&pipeline("p", processor), Some(&vhost.url())).await;
    let base = local.base("p").await;
    let mut ids = Vec::new();
    for round in 0..ROUNDS {
        for number in 0..4 {
            ids.push(local.submit(&base, json!(number)).await);
        }
        // The work takes 0.3 s on each of four; the gaps after it move over the second in which is looked.
        tokio::time::sleep(Duration::from_millis(u64::from(500 + round * 53 % 700))).await;
    }
    for id in &ids {
        local.record_when(&base, id, "succeeded").await;
    }
    eventually("sleep", SOON, async || local.pids("warren-processor").is_empty()).await;
    let output = local.program.output();
    let ended: Vec<_> = output.lines().filter(|line| line.contains("takes no more requests")).collect();
    assert!(ended.len() > 4, "some have come and gone meanwhile: {ended:#?}");
    let busy: Vec<_> = ended.iter().filter(|line| !line.contains("in_work=0")).collect();
    assert!(busy.is_empty(), "of {} were ended with work: {busy:#?}", ended.len());
    local.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_maximum_that_is_lowered_in_the_file_ends_nobody_who_is_busy() {
    let vhost = broker::vhost("lowered").await;
    let at_most = |most: u32| {
        let scaling = json!({"maxReplicas": most, "backlogPerReplica": 1, "idleSeconds": 0});
        pipeline("p", json!({"handler": {"demo": {"delay": "3s"}}, "scaling": scaling}))
    };
    let mut local = Local::start(&at_most(3), Some(&vhost.url())).await;
    let base = local.base("p").await;
    let mut ids = Vec::new();
    for number in 0..3 {
        ids.push(local.submit(&base, json!(number)).await);
    }
    for id in &ids {
        local.record_when(&base, id, "started").await;
    }
    std::fs::write(file(local.directory.path()), at_most(1)).expect("is written");
    for id in &ids {
        local.record_when(&base, id, "succeeded").await;
    }
    eventually("sleep", SOON, async || local.pids("warren-processor").is_empty()).await;
    let output = local.program.output();
    let ended: Vec<_> = output.lines().filter(|line| line.contains("takes no more requests")).collect();
    assert_eq!(ended.len(), 3, "{ended:#?}");
    assert!(ended.iter().all(|line| line.contains("in_work=0")), "{ended:#?}");
    local.end().await;
}

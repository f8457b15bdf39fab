//! Two replicas of the operator: one works, the other takes over.

use super::site::{SECONDS, cluster_with_crd, operator, pipeline};
use serde_json::Value;
use std::time::{Duration, Instant};
use warren_testkit::{cluster::Namespace, free_port};

const ELECTION: [&str; 2] = ["--lease-name=warren", "--identity"];

async fn holder(namespace: &Namespace, wanted: &str, deadline: Duration) {
    let held = |lease: &Value| lease["spec"]["holderIdentity"] == wanted;
    namespace.get_when("lease", "warren", &format!("{wanted} to lead"), deadline, held).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_leader_is_replaced_within_15_seconds_and_a_leaving_one_at_once() {
    let Some(cluster) = cluster_with_crd().await else { return };
    let namespace = cluster.namespace("leader").await;
    let start = |identity: &str| {
        let more = [ELECTION[0], "--lease-namespace", namespace.name(), ELECTION[1], identity];
        operator(&namespace, free_port(), &more)
    };
    let mut first = start("first");
    holder(&namespace, "first", SECONDS).await;
    let mut second = start("second");
    second.wait_for_line("the operator runs", SECONDS).await;
    namespace.apply(&pipeline("p", serde_json::json!({}))).await.expect("is accepted");

    first.kill9();
    let killed = Instant::now();
    holder(&namespace, "second", Duration::from_secs(15)).await;
    eprintln!("took over {:?} after kill -9", killed.elapsed());
    namespace.get_when("pp", "p", "a status by the second", SECONDS, |pipeline| pipeline["status"].is_object()).await;

    let third = start("third");
    let left = Instant::now();
    second.terminate();
    assert!(second.wait(Duration::from_secs(5)).await.success(), "nothing to finish, so nothing to wait for");
    holder(&namespace, "third", Duration::from_secs(6)).await;
    eprintln!("took over {:?} after SIGTERM", left.elapsed());
    drop(third);
}

//! A request that kills its worker, each time.

use crate::{
    pipeline::{DEADLINE, Pipeline, Taken, hasty},
    worker::shipped,
};
use std::collections::BTreeSet;
use warren_messaging::topology::QueueType;
use warren_testkit::eventually;

/// Enough for the innocent to get away: each round halves the chance that one of them is still behind the poison.
const LIMIT: i64 = 14;
const POISON: u32 = 2;
const INNOCENT: [u32; 4] = [0, 1, 3, 4];

#[tokio::test]
async fn poison_ends_among_the_dead_letters_and_takes_nobody_with_it() {
    let pipeline = Pipeline::undeclared().await;
    pipeline.declare(Some(LIMIT)).await;
    let dead = poisoned(&pipeline).await;
    assert_eq!(dead.header("x-first-death-reason").as_deref(), Some("delivery_limit"));
}

#[tokio::test]
async fn poison_of_a_classic_queue_costs_its_own_attempts_and_takes_nobody_with_it() {
    let pipeline = Pipeline::with(hasty(QueueType::Classic)).await;
    let dead = poisoned(&pipeline).await;
    assert_eq!(dead.header("x-reason").as_deref(), Some("delivery_limit"));
    assert_eq!(dead.header("x-attempt").as_deref(), Some("3"));
}

/// Five requests at once, of which one kills each worker, until it is given up; all others are done.
async fn poisoned(pipeline: &Pipeline) -> Taken {
    for id in 0..5 {
        pipeline.request(id, "0").await;
    }
    let script = format!("[ $WARREN_REQUEST_ID = {POISON} ] && kill -9 $PPID; sleep 0.1; cat");
    let command = ["--concurrency=5", "--handler=exec", "--", "sh", "-c", &script];
    let mut worker = shipped(pipeline, &command);
    let end = async || {
        // As Kubernetes would.
        if worker.exited().is_some() {
            worker = shipped(pipeline, &command);
        }
        pipeline.take(&pipeline.topology.dead()).await
    };
    let dead = eventually("the poison to be given up", DEADLINE, end).await;
    assert_eq!(dead.json()["requestId"], POISON);
    let mut done = BTreeSet::new();
    while done.len() < INNOCENT.len() {
        done.insert(pipeline.result().await.json()["requestId"].as_u64());
    }
    assert_eq!(done, INNOCENT.map(|id| Some(id.into())).into());
    assert_eq!(pipeline.depth(&pipeline.topology.dead()).await, 0);
    dead
}

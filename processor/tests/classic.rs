//! Classic queues, which count no deliveries.

use crate::{
    handlers::{Echo, gated},
    pipeline::{Pipeline, hasty},
    worker::Embedded,
};
use warren_messaging::topology::QueueType;

#[tokio::test]
async fn a_redelivered_request_of_a_classic_queue_is_not_run_but_costs_an_attempt_until_none_is_left() {
    let pipeline = Pipeline::with(hasty(QueueType::Classic)).await;
    pipeline.request(1, r#""a""#).await;
    pipeline.return_to_queue().await;
    let worker = Embedded::start(&pipeline, Echo, &[]);
    let result = pipeline.result().await;
    assert_eq!(result.header("x-attempt").as_deref(), Some("2"), "the crash was the first");
    worker.stop().await;
}

#[tokio::test]
async fn the_last_attempt_that_vanished_is_dead_unrun() {
    let mut topology = hasty(QueueType::Classic);
    topology.retry.max_attempts = 1;
    let pipeline = Pipeline::with(topology).await;
    pipeline.request(1, r#""a""#).await;
    pipeline.return_to_queue().await;
    let (handler, mut gate) = gated();
    let worker = Embedded::start(&pipeline, handler, &[]);
    assert_eq!(pipeline.dead().await.header("x-reason").as_deref(), Some("delivery_limit"));
    assert!(gate.nothing_begun());
    worker.stop().await;
}

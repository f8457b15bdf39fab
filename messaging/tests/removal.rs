//! Removing retry tiers and whole pipelines.

use crate::{declared, is_bound};
use lapin::options::BasicConsumeOptions;
use std::time::Duration;
use warren_messaging::topology::{
    QueueType, Topology,
    check::{Counts, counts, missing},
    declare::declare,
    remove::{QUIET, Removal, Removed, Retirement, remove, retire},
};

const TIER: Duration = Duration::from_secs(64);

#[tokio::test]
async fn an_obsolete_tier_loses_its_binding_at_once_and_goes_when_it_was_empty_for_long() {
    let topology = Topology::named("p");
    let (vhost, connection, _) = declared(&topology).await;
    vhost.publish("p", "retry.1m4s", "a").await;
    let step = async |empty_for| retire(&connection, &topology, TIER, empty_for).await.expect("is not refused");
    assert_eq!(step(QUIET).await, Retirement::NotEmpty { ready: 1 });
    assert!(!is_bound(&vhost, "p.retry.1m4s", "retry.1m4s").await);
    assert_eq!(vhost.get("p.retry.1m4s").await.expect("is kept").data, b"a");

    assert_eq!(step(Duration::ZERO).await, Retirement::Empty);
    assert!(counts(&connection, "p.retry.1m4s").await.expect("answers").is_some());
    assert_eq!(step(QUIET).await, Retirement::Gone);
    assert!(counts(&connection, "p.retry.1m4s").await.expect("answers").is_none());
    assert_eq!(step(Duration::ZERO).await, Retirement::Gone);
}

#[tokio::test]
async fn an_empty_pipeline_is_removed_with_its_exchange_and_removing_it_again_is_no_error() {
    for queue_type in [QueueType::Quorum, QueueType::Classic] {
        let (vhost, connection, plan) = declared(&Topology { queue_type, ..Topology::named("p") }).await;
        for _ in 0..2 {
            assert_eq!(remove(&connection, &plan, Removal::IfEmpty).await.expect("is not refused"), Removed::Gone);
            assert!(vhost.queues().await.is_empty());
            assert_eq!(missing(&connection, &plan).await.expect("answers").len(), plan.queues.len() + 1);
        }
    }
}

#[tokio::test]
async fn a_pipeline_that_holds_messages_or_is_consumed_is_kept_bound_and_the_queues_are_named() {
    let (vhost, connection, plan) = declared(&Topology::named("p")).await;
    vhost.publish("p", "dead", "a").await;
    let channel = connection.create_channel().await.expect("opens");
    let options = BasicConsumeOptions::default();
    let _consumer = channel.basic_consume("p.requests".into(), "".into(), options, Default::default()).await;
    // As a call leaves it that was cut off.
    channel
        .queue_unbind("p.requests".into(), "p".into(), "request".into(), Default::default())
        .await
        .expect("is unbound");

    let Removed::Kept(busy) = remove(&connection, &plan, Removal::IfEmpty).await.expect("is not refused") else {
        panic!("removed with messages in it")
    };
    let one = Counts { ready: 1, consumers: 0 };
    let kept = [("p.dead", one), ("p.results", one), ("p.requests", Counts { ready: 0, consumers: 1 })];
    assert_eq!(busy, kept.map(|(queue, counts)| (queue.to_owned(), counts)));
    assert!(is_bound(&vhost, "p.requests", "request").await);
    assert!(missing(&connection, &plan).await.expect("answers").is_empty());
}

#[tokio::test]
async fn always_removes_messages_too_but_not_an_exchange_to_which_others_are_bound() {
    let (vhost, connection, plan) = declared(&Topology::named("p")).await;
    vhost.publish("p", "request", "a").await;
    let channel = vhost.channel().await;
    channel.queue_declare("theirs".into(), Default::default(), Default::default()).await.expect("is declared");
    let bound =
        channel.queue_bind("theirs".into(), "p".into(), "result".into(), Default::default(), Default::default());
    bound.await.expect("is bound");

    assert_eq!(remove(&connection, &plan, Removal::Always).await.expect("is not refused"), Removed::Gone);
    let left: Vec<String> = vhost.queues().await.into_iter().map(|queue| queue.name).collect();
    assert_eq!(left, ["theirs"]);
    assert!(is_bound(&vhost, "theirs", "result").await);
    declare(&connection, &plan).await.expect("is declared anew");
}

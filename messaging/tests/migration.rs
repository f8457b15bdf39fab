//! Giving an existing queue other arguments.

use crate::{declared, is_bound};
use lapin::{Connection, options::BasicConsumeOptions};
use warren_messaging::topology::{
    Object, QueuePlan, QueueType, Topology,
    check::counts,
    declare::{DeclareError, declare},
    migrate::{Migration, migrate},
};

fn requests(limit: u64) -> QueuePlan {
    let topology = Topology { max_length: Some(limit), ..Topology::named("p") };
    topology.plan().queue("p.requests").expect("every plan has it").clone()
}

async fn step(connection: &Connection, queue: &QueuePlan) -> Migration {
    migrate(connection, "p", queue).await.expect("is not refused")
}

#[tokio::test]
async fn an_empty_queue_gets_its_new_length_limit_and_is_bound() {
    let (vhost, connection, _) = declared(&Topology { max_length: Some(5), ..Topology::named("p") }).await;
    assert_eq!(step(&connection, &requests(7)).await, Migration::Done);
    let held = vhost.queue("p.requests").await.expect("exists");
    assert_eq!(held.arguments["x-max-length"], 7);
    vhost.publish("p", "request", "a").await;
    assert_eq!(step(&connection, &requests(7)).await, Migration::Done, "as planned, so its message does not matter");
    assert_eq!(vhost.get("p.requests").await.expect("is kept").data, b"a");
}

#[tokio::test]
async fn a_queue_that_holds_a_message_stays_bound_and_keeps_it() {
    let (vhost, connection, _) = declared(&Topology { max_length: Some(5), ..Topology::named("p") }).await;
    vhost.publish("p", "request", "a").await;
    assert_eq!(step(&connection, &requests(7)).await, Migration::NotEmpty { ready: 1 });
    vhost.publish("p", "request", "b").await;
    for body in [b"a", b"b"] {
        assert_eq!(vhost.get("p.requests").await.expect("is kept").data, body);
    }
    assert_eq!(step(&connection, &requests(7)).await, Migration::Done);
}

#[tokio::test]
async fn a_consumed_queue_stays_unbound_until_its_consumer_is_gone() {
    let (vhost, connection, _) = declared(&Topology { max_length: Some(5), ..Topology::named("p") }).await;
    let worker = vhost.connect().await;
    let channel = worker.create_channel().await.expect("opens");
    let options = BasicConsumeOptions::default();
    let _consumer = channel.basic_consume("p.requests".into(), "".into(), options, Default::default()).await;
    assert_eq!(step(&connection, &requests(7)).await, Migration::InUse { consumers: 1 });
    assert!(!is_bound(&vhost, "p.requests", "request").await, "a submit is refused now");

    let other = Topology { max_length: Some(7), ..Topology::named("p") };
    let refusal = declare(&connection, &other.plan()).await.expect_err("differs");
    let DeclareError::Inequivalent { object: Object::Queue(queue), .. } = refusal else { panic!("{refusal:?}") };
    assert_eq!(queue, "p.requests");
    assert!(!is_bound(&vhost, "p.requests", "request").await, "declaring does not undo it");

    worker.close(200, "done".into()).await.expect("closes");
    assert_eq!(step(&connection, &requests(7)).await, Migration::Done);
    assert!(is_bound(&vhost, "p.requests", "request").await);
}

#[tokio::test]
async fn a_message_that_is_worked_on_keeps_a_quorum_queue() {
    let (vhost, connection, _) = declared(&Topology { max_length: Some(5), ..Topology::named("p") }).await;
    vhost.publish("p", "request", "a").await;
    let worker = vhost.connect().await;
    let channel = worker.create_channel().await.expect("opens");
    channel.basic_get("p.requests".into(), Default::default()).await.expect("answers").expect("is there");
    assert_eq!(step(&connection, &requests(7)).await, Migration::InUse { consumers: 1 });
    worker.close(200, "done".into()).await.expect("closes");
    assert_eq!(step(&connection, &requests(7)).await, Migration::NotEmpty { ready: 1 });
    assert!(is_bound(&vhost, "p.requests", "request").await, "the submits come in again");
}

#[tokio::test]
async fn a_pipeline_becomes_classic_queue_by_queue() {
    let (vhost, connection, _) = declared(&Topology::named("p")).await;
    let classic = Topology { queue_type: QueueType::Classic, ..Topology::named("p") }.plan();
    declare(&connection, &classic).await.expect_err("differs");
    for name in ["p.requests", "p.results"] {
        assert_eq!(step(&connection, classic.queue(name).expect("is planned")).await, Migration::Done);
        assert_eq!(vhost.queue(name).await.expect("exists").kind, "classic");
    }
    assert!(declare(&connection, &classic).await.expect("agrees").created.is_empty());
    assert!(is_bound(&vhost, "p.results", "dead").await);
}

#[tokio::test]
async fn a_queue_that_is_missing_needs_no_migration() {
    let (vhost, connection, _) = declared(&Topology { max_length: Some(5), ..Topology::named("p") }).await;
    vhost.channel().await.queue_delete("p.requests".into(), Default::default()).await.expect("is deleted");
    assert_eq!(step(&connection, &requests(7)).await, Migration::Done);
    assert!(counts(&connection, "p.requests").await.expect("answers").is_some());
}

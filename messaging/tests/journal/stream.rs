//! Declaring, changing and removing the stream.

use super::{WEEK, kept};
use crate::{
    address, declared, is_bound,
    publishing::{request, start},
};
use jiff::Timestamp;
use lapin::{
    Confirmation, Connection,
    options::{BasicConsumeOptions, BasicPublishOptions},
};
use std::{os::unix::fs::PermissionsExt, path::PathBuf, time::Duration};
use warren_messaging::{
    journal::{Range, Reader},
    link::{Frames, LinkState, connect},
    publisher::PublishError,
    topology::{
        Journal, Topology, TopologyPlan, check,
        declare::{DeclareError, declare},
        migrate::{Migration, migrate},
        remove::{Removal, Removed, remove},
    },
};
use warren_rabbitmq_node::Settings;
use warren_testkit::{
    broker::{self, Vhost},
    eventually,
    eventually::when,
};

/// That so many requests are in the journal.
async fn holds(vhost: &Vhost, count: usize) {
    let range = Range { since: Timestamp::UNIX_EPOCH, until: Timestamp::now(), resume_at: None };
    let mut reader = Reader::open(&address(vhost), "test", "p.journal", range).await.expect("opens");
    let mut found = 0;
    while reader.next().await.expect("is read").is_some() {
        found += 1;
    }
    assert_eq!(found, count);
}

/// Publishes a request that must not get lost; whether the broker took it.
async fn submit(vhost: &Vhost) -> bool {
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let channel = vhost.channel().await;
    let sent = channel.basic_publish("p".into(), "request".into(), options, b"a", Default::default()).await;
    match sent.expect("is sent").await.expect("is answered") {
        Confirmation::Ack(returned) => returned.is_none(),
        Confirmation::Nack(_) | Confirmation::NotRequested => false,
    }
}

/// The plan in which nothing is left out that an earlier one may have left.
fn whole(topology: &Topology) -> TopologyPlan {
    let mut plan = topology.plan();
    plan.queues.extend(topology.former_journal());
    plan
}

#[tokio::test]
async fn every_request_is_in_the_queue_and_in_the_journal_and_nothing_else_is() {
    let (vhost, connection, plan) = declared(&kept(WEEK)).await;
    for key in ["request", "result", "dead", "event", "request"] {
        vhost.publish("p", key, key).await;
    }
    holds(&vhost, 2).await;
    let stream = vhost.queue("p.journal").await.expect("exists");
    assert_eq!((stream.kind.as_str(), stream.durable), ("stream", true));
    assert_eq!(stream.arguments["x-max-age"], "7D");
    assert_eq!(stream.arguments["x-max-length-bytes"], 1_073_741_824);
    assert_eq!(vhost.get("p.requests").await.expect("is there, too").data, b"request");
    assert_eq!(declare(&connection, &plan).await.expect("agrees").created, [""; 0]);
    assert!(check::missing(&connection, &plan).await.expect("answers").is_empty());
}

#[tokio::test]
async fn a_lost_binding_or_stream_is_made_again() {
    let (vhost, connection, plan) = declared(&kept(WEEK)).await;
    let channel = vhost.channel().await;
    let unbound = channel.queue_unbind("p.journal".into(), "p".into(), "request".into(), Default::default());
    unbound.await.expect("is unbound");
    assert_eq!(declare(&connection, &plan).await.expect("is declared").created, [""; 0]);
    assert!(is_bound(&vhost, "p.journal", "request").await);
    channel.queue_delete("p.journal".into(), Default::default()).await.expect("is deleted");
    assert_eq!(declare(&connection, &plan).await.expect("is declared").created, ["queue p.journal"]);
    assert!(is_bound(&vhost, "p.journal", "request").await);
}

#[tokio::test]
async fn a_journal_that_the_spec_has_no_more_gets_nothing_more_and_stays() {
    let (vhost, connection, _) = declared(&kept(WEEK)).await;
    assert!(submit(&vhost).await);
    declare(&connection, &Topology::named("p").plan()).await.expect("is declared");
    assert!(!is_bound(&vhost, "p.journal", "request").await);
    assert!(submit(&vhost).await);
    holds(&vhost, 1).await;
    declare(&connection, &kept(WEEK).plan()).await.expect("is taken up again");
    assert!(submit(&vhost).await);
    holds(&vhost, 2).await;
}

#[tokio::test]
async fn other_limits_are_refused_with_both_values_and_the_ways_out_while_all_goes_on() {
    let (vhost, connection, _) = declared(&kept(WEEK)).await;
    let day = Journal { retention: Duration::from_secs(86_400), ..WEEK };
    let refusal = declare(&connection, &kept(day).plan()).await.expect_err("differs");
    assert!(matches!(&refusal, DeclareError::JournalDiffers { stream, .. } if stream == "p.journal"), "{refusal:?}");
    for word in
        ["p.journal", "x-max-age", "'1D'", "'7D'", "spec.topology.journal", "rabbitmqctl delete_queue p.journal"]
    {
        assert!(refusal.to_string().contains(word), "{word} in {refusal}");
    }
    assert!(submit(&vhost).await);
    holds(&vhost, 1).await;
}

#[tokio::test]
async fn while_the_request_queue_is_replaced_a_request_does_not_end_in_the_journal_alone() {
    let (vhost, connection, _) = declared(&Topology { max_length: Some(5), ..kept(WEEK) }).await;
    let wanted = Topology { max_length: Some(7), ..kept(WEEK) }.plan();
    let requests = wanted.queue("p.requests").expect("every plan has it");
    let step = async || migrate(&connection, "p", requests).await.expect("is not refused");

    let worker = vhost.connect().await;
    let channel = worker.create_channel().await.expect("opens");
    let options = BasicConsumeOptions::default();
    let _consumer = channel.basic_consume("p.requests".into(), "".into(), options, Default::default()).await;
    assert_eq!(step().await, Migration::InUse { consumers: 1 });
    declare(&connection, &wanted).await.expect_err("differs");
    assert!(!submit(&vhost).await, "returned, as no queue of requests is bound");

    worker.close(200, "done".into()).await.expect("closes");
    assert_eq!(step().await, Migration::Done);
    assert!(submit(&vhost).await);
    holds(&vhost, 1).await;
}

#[tokio::test]
async fn a_publisher_of_requests_notices_within_a_moment_that_only_the_journal_is_left() {
    let (vhost, connection, plan) = declared(&kept(WEEK)).await;
    let (publisher, _stop) = start(address(&vhost), &Topology::named("p"));
    publisher.ready().await;
    publisher.publish(&request("a")).await.expect("is confirmed");
    vhost.channel().await.queue_delete("p.requests".into(), Default::default()).await.expect("is deleted");
    let is_missing = async || when(publisher.state(), |state| matches!(state, LinkState::TopologyMissing { .. }));
    eventually("the publisher to notice", Duration::from_secs(10), is_missing).await;
    assert!(matches!(publisher.publish(&request("b")).await, Err(PublishError::Unavailable(_))));
    declare(&connection, &plan).await.expect("is declared");
    publisher.ready().await;
    publisher.publish(&request("c")).await.expect("is confirmed again");
}

#[tokio::test]
async fn an_empty_pipeline_goes_but_its_journal_stays_alone_unless_that_is_empty_too() {
    let (vhost, connection, _) = declared(&kept(WEEK)).await;
    assert!(submit(&vhost).await);
    holds(&vhost, 1).await;
    let gone = async |topology: &Topology| {
        remove(&connection, &whole(topology), Removal::IfEmpty).await.expect("is not refused")
    };
    assert!(matches!(gone(&kept(WEEK)).await, Removed::Kept(_)), "a request waits");
    assert!(is_bound(&vhost, "p.journal", "request").await);
    vhost.get("p.requests").await.expect("is there");
    assert_eq!(gone(&Topology::named("p")).await, Removed::JournalLeft("p.journal".into()));
    let left: Vec<_> = vhost.queues().await.into_iter().map(|queue| queue.name).collect();
    assert_eq!(left, ["p.journal"]);

    declare(&connection, &kept(WEEK).plan()).await.expect("a new pipeline takes it over");
    holds(&vhost, 1).await;
    assert_eq!(remove(&connection, &whole(&kept(WEEK)), Removal::Always).await.expect("goes"), Removed::Gone);
    declare(&connection, &kept(WEEK).plan()).await.expect("is declared anew");
    assert_eq!(gone(&kept(WEEK)).await, Removed::Gone);
    assert!(vhost.queues().await.is_empty());
}

#[tokio::test]
async fn deleting_a_pipeline_with_all_it_holds_includes_a_journal_that_its_spec_has_no_more() {
    let (vhost, connection, _) = declared(&kept(WEEK)).await;
    assert!(submit(&vhost).await);
    let plan = whole(&Topology::named("p"));
    assert_eq!(remove(&connection, &plan, Removal::Always).await.expect("goes"), Removed::Gone);
    assert!(vhost.queues().await.is_empty());
}

/// A RabbitMQ as an upgrade from an old version leaves it.
fn without_streams(folder: &std::path::Path) -> PathBuf {
    let server = std::env::var_os(broker::SERVER).map_or("/usr/lib/rabbitmq/bin/rabbitmq-server".into(), PathBuf::from);
    let script = folder.join("rabbitmq-server");
    let flags = "quorum_queue,implicit_default_bindings,virtual_host_metadata,maintenance_mode_status,user_limits";
    let text = format!("#!/bin/sh\nRABBITMQ_FEATURE_FLAGS={flags} exec {} \"$@\"\n", server.display());
    std::fs::write(&script, text).expect("is written");
    std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).expect("is made a program");
    script
}

#[tokio::test]
async fn without_streams_the_pipeline_is_declared_all_the_same_and_the_refusal_says_what_to_enable() {
    let folder = tempfile::tempdir().expect("is made");
    let settings = Settings { server: Some(without_streams(folder.path())), ..broker::private_settings() };
    let node = broker::start(settings).await;
    let address = node.url().parse().expect("is an address");
    let again = async || -> Connection { connect(&address, "test", Frames::Small).await.expect("connects") };
    match declare(&again().await, &kept(WEEK).plan()).await {
        // RabbitMQ 4 has them always.
        Ok(declared) => assert!(declared.created.contains(&"queue p.journal".to_owned())),
        Err(refusal) => {
            assert!(matches!(refusal, DeclareError::NoStreams { .. }), "{refusal:?}");
            for word in ["p.journal", "enable_feature_flag stream_queue", "spec.topology.journal"] {
                assert!(refusal.to_string().contains(word), "{word} in {refusal}");
            }
            let missing = check::missing(&again().await, &kept(WEEK).plan()).await.expect("answers");
            assert_eq!(missing, ["queue p.journal"]);
        }
    }
}

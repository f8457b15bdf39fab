//! Declaring a topology, and looking whether it is there.

use crate::{address, declared, is_bound};
use futures::StreamExt as _;
use lapin::Connection;
use std::time::Duration;
use warren_messaging::{
    link::{Frames, LinkError, connect},
    topology::{
        QueueType, Topology,
        check::{self, Counts},
        declare::{DeclareError, declare},
        reports::ReportQueue,
    },
};
use warren_testkit::broker;

const SECONDS: Duration = Duration::from_secs(20);

#[tokio::test]
async fn what_is_declared_is_what_the_broker_holds_and_declaring_again_changes_nothing() {
    let vhost = broker::vhost("messaging").await;
    let plan = Topology { max_length: Some(1000), ..Topology::named("p") }.plan();
    let connection = connect(&address(&vhost), "test", Frames::Small).await.expect("connects");
    declare(&connection, &plan).await.expect("is declared");
    declare(&connection, &plan).await.expect("is declared again");

    for queue in &plan.queues {
        let held = vhost.queue(&queue.name).await.expect("exists");
        for (name, value) in &queue.arguments {
            let held = held.arguments[*name].to_string();
            assert_eq!(held.trim_matches('"'), value.to_string(), "{} {name}", queue.name);
        }
        assert_eq!(held.arguments.len(), queue.arguments.len(), "{}", queue.name);
    }
    let bindings = vhost.bindings().await;
    for key in ["request", "result", "dead", "event", "retry.1s"] {
        assert!(bindings.iter().any(|binding| binding.routing_key == key), "{key} in {bindings:?}");
    }
}

#[tokio::test]
async fn a_classic_topology_agrees_with_the_original_demos_plain_queues() {
    let vhost = broker::vhost("messaging").await;
    let connection = connect(&address(&vhost), "test", Frames::Small).await.expect("connects");
    let channel = connection.create_channel().await.expect("opens");
    for queue in ["processing.requests", "processing.results"] {
        let options = lapin::options::QueueDeclareOptions::durable();
        channel.queue_declare(queue.into(), options, lapin::types::FieldTable::default()).await.expect("is declared");
    }
    let topology = Topology { queue_type: QueueType::Classic, ..Topology::named("processing") };
    declare(&connection, &topology.plan()).await.expect("agrees");
    assert!(vhost.queue("processing.requests").await.expect("exists").arguments.is_empty());
}

#[tokio::test]
async fn a_queue_with_other_arguments_is_refused_with_both_values_and_the_way_out() {
    let vhost = broker::vhost("messaging").await;
    let connection = connect(&address(&vhost), "test", Frames::Small).await.expect("connects");
    declare(&connection, &Topology { max_length: Some(5), ..Topology::named("p") }.plan()).await.expect("is declared");
    let other = Topology { max_length: Some(7), ..Topology::named("p") };
    let refusal = declare(&connection, &other.plan()).await.expect_err("differs");
    let text = refusal.to_string();
    assert!(matches!(refusal, DeclareError::Inequivalent { .. }), "{refusal:?}");
    for word in ["queue p.requests", "x-max-length", "'7'", "'5'", "delete_queue"] {
        assert!(text.contains(word), "{word} in {text}");
    }
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let vhost = broker::vhost("messaging").await;
    let connection = connect(&address(&vhost), "test", Frames::Small).await.expect("connects");
    let plan = Topology::named("p").plan();
    let missing = check::missing(&connection, &plan).await.expect("answers");
    assert_eq!(missing.first().map(String::as_str), Some("exchange p"));
    assert_eq!(missing.len(), plan.queues.len() + 1);
    declare(&connection, &plan).await.expect("is declared");
    assert!(check::missing(&connection, &plan).await.expect("answers").is_empty());
    assert_eq!(check::counts(&connection, "p.requests").await.expect("answers"), Some(Counts::default()));
    assert_eq!(check::counts(&connection, "p.nothing").await.expect("answers"), None);
}

/// lapin 4.12 answers on a new channel with the error of an earlier one of the same number.
#[tokio::test]
async fn looks_at_missing_queues_never_spoil_later_looks_and_one_that_finds_no_channel_says_so() {
    const CHANNELS: usize = 8;
    let (vhost, ..) = declared(&Topology::named("p")).await;
    let url = format!("{}?channel_max={CHANNELS}", vhost.url());
    let properties = lapin::ConnectionProperties::default();
    let connection = Connection::connect(&url, properties).await.expect("connects");
    let missing = async || check::counts(&connection, "p.nothing").await;
    let there = async || check::counts(&connection, "p.requests").await.expect("answers").is_some();
    for _ in 0..3 {
        assert_eq!(missing().await.expect("answers"), None);
        for _ in 0..2 * CHANNELS {
            assert!(there().await, "p.requests is there all the time");
        }
    }
    let mut answers = (0..CHANNELS).map(|_| missing());
    let last = loop {
        match answers.next().expect("each uses a number up").await {
            Ok(found) => assert_eq!(found, None),
            Err(error) => break error,
        }
    };
    assert!(matches!(last.kind(), lapin::ErrorKind::ChannelsLimitReached), "{last:?}");
}

#[tokio::test]
async fn an_exchange_that_a_user_may_not_read_keeps_nobody_from_hearing_of_the_others() {
    let (vhost, _, _) = declared(&Topology::named("mine")).await;
    let foreign = connect(&address(&vhost), "test", Frames::Small).await.expect("connects");
    declare(&foreign, &Topology::named("other").plan()).await.expect("is declared");
    let user = vhost.user().await;
    let own = "^mine(\\..*)?$";
    user.permit(own, own, own).await;
    let broker = user.url().parse().expect("an address");
    let connection = connect(&broker, "test", Frames::Small).await.expect("connects");
    let exchanges = ["other", "mine"].map(str::to_owned);

    let mut reports = ReportQueue::open(&connection, &exchanges).await.expect("is named after the one that it may use");
    reports.bind(&connection, &exchanges).await.expect("is bound to that one");
    let channel = vhost.channel().await;
    for exchange in ["other", "mine"] {
        let publish = channel.basic_publish(
            exchange.into(),
            "stats".into(),
            Default::default(),
            exchange.as_bytes(),
            Default::default(),
        );
        publish.await.expect("is sent");
    }
    let heard = tokio::time::timeout(SECONDS, reports.consumer.next()).await.expect("is heard").expect("is there");
    assert_eq!(heard.expect("is delivered").data, b"mine");
}

#[tokio::test]
async fn a_refused_login_and_an_unknown_vhost_are_told_apart_without_the_password() {
    let vhost = broker::vhost("messaging").await;
    let address = address(&vhost).url.host_and_port();
    let wrong = format!("amqp://guest:wr0ng@{address}/%2f").parse().expect("is an address");
    let refusal = connect(&wrong, "test", Frames::Small).await.expect_err("is refused");
    assert!(matches!(&refusal, LinkError::LoginRefused { user, .. } if user == "guest"), "{refusal:?}");
    assert!(!format!("{refusal} {refusal:?}").contains("wr0ng"));
    let nowhere = format!("amqp://guest:guest@{address}/nowhere").parse().expect("is an address");
    let refusal = connect(&nowhere, "test", Frames::Small).await.expect_err("is refused");
    assert!(matches!(&refusal, LinkError::VhostRefused { vhost, .. } if vhost == "nowhere"), "{refusal:?}");
}

#[tokio::test]
async fn a_broker_that_is_not_there_is_named_with_its_port() {
    let port = warren_testkit::free_port();
    let url = format!("amqp://127.0.0.1:{port}").parse().expect("is an address");
    let refusal = connect(&url, "test", Frames::Small).await.expect_err("nobody listens");
    assert!(matches!(refusal, LinkError::Unreachable { .. }), "{refusal:?}");
    assert!(refusal.to_string().contains(&format!("127.0.0.1:{port}")), "{refusal}");
}

#[tokio::test]
async fn a_deleted_queue_and_a_lost_binding_are_repaired_and_the_queue_is_named() {
    let (vhost, connection, plan) = declared(&Topology::named("p")).await;
    let again = async || declare(&connection, &plan).await.expect("is declared").created;
    assert_eq!(again().await, [""; 0]);
    let channel = vhost.channel().await;
    let unbound = channel.queue_unbind("p.requests".into(), "p".into(), "request".into(), Default::default());
    unbound.await.expect("is unbound");
    assert_eq!(again().await, [""; 0], "a binding cannot be looked at");
    assert!(is_bound(&vhost, "p.requests", "request").await);

    channel.queue_delete("p.dead".into(), Default::default()).await.expect("is deleted");
    channel.exchange_delete("p".into(), Default::default()).await.expect("is deleted");
    assert_eq!(again().await, ["exchange p", "queue p.dead"]);
    for queue in &plan.queues {
        for key in &queue.keys {
            assert!(is_bound(&vhost, &queue.name, key).await, "{key} of {}", queue.name);
        }
    }
}

#[tokio::test]
async fn a_queue_that_is_deleted_just_while_it_is_declared_is_named_all_the_same() {
    let (vhost, connection, plan) = declared(&Topology::named("p")).await;
    let again = async || declare(&connection, &plan).await.expect("is declared").created;
    let channel = vhost.channel().await;
    // At another moment of a declaration each time.
    for moment in (0..100).map(|step| Duration::from_micros(step * 50)) {
        let delete = async {
            tokio::time::sleep(moment).await;
            channel.queue_delete("p.dead".into(), Default::default()).await.expect("is deleted");
        };
        let (mut named, ()) = tokio::join!(again(), delete);
        named.extend(again().await);
        assert_eq!(named, ["queue p.dead"], "deleted after {moment:?}");
    }
}

#[tokio::test]
async fn a_refused_queue_does_not_keep_the_others_from_being_declared() {
    let (vhost, connection, _) = declared(&Topology { max_length: Some(5), ..Topology::named("p") }).await;
    vhost.channel().await.queue_delete("p.retry.5m".into(), Default::default()).await.expect("is deleted");
    let other = Topology { max_length: Some(7), ..Topology::named("p") };
    declare(&connection, &other.plan()).await.expect_err("differs");
    assert!(check::missing(&connection, &other.plan()).await.expect("answers").is_empty());
}

#[tokio::test]
async fn a_web_side_that_somebody_else_runs_from_now_on_gets_results_alone() {
    let vhost = broker::vhost("messaging").await;
    let connection = connect(&address(&vhost), "test", Frames::Small).await.expect("connects");
    let managed = Topology::named("p");
    declare(&connection, &managed.plan()).await.expect("declared");
    declare(&connection, &Topology { web_managed: false, ..managed }.plan()).await.expect("declared");
    let bindings = vhost.bindings().await;
    let keys: Vec<_> = bindings.iter().filter(|binding| binding.destination == "p.results").collect();
    assert_eq!(keys.len(), 1, "{keys:?}");
    assert_eq!(keys[0].routing_key, "result");
}

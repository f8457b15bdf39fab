//! Publishing with confirms.

use crate::{address, declared};
use std::{process::Command, time::Duration};
use tokio_util::sync::CancellationToken;
use warren_messaging::{
    broker::Broker,
    link::{Frames, LinkState, connect},
    message::{LARGEST_BODY, Outgoing, Report, Request},
    publisher::{Contact, PublishError, Publisher, PublisherSettings},
    request_id::RequestId,
    topology::{QueueType, Topology, declare::declare},
};
use warren_testkit::{broker, eventually};

pub fn start(broker: Broker, topology: &Topology) -> (Publisher, CancellationToken) {
    let stop = CancellationToken::new();
    let settings = PublisherSettings {
        broker,
        name: "test publisher".into(),
        needs: topology.plan(),
        confirm_timeout: Duration::from_secs(5),
        contact: Contact::default(),
    };
    let report = || Report::of_web("test", 0);
    (Publisher::start(settings, report, stop.clone()).0, stop)
}

pub fn request(id: &str) -> Outgoing {
    let data = serde_json::value::RawValue::from_string("1".into()).expect("is JSON");
    Request { request_id: RequestId::from_text(id).expect("is an id"), request_data: &data }.to_message()
}

#[tokio::test]
async fn a_confirmed_message_is_on_the_queue_persistent_and_with_its_id() {
    let topology = Topology::named("p");
    let (vhost, connection, _) = declared(&topology).await;
    let (publisher, _stop) = start(address(&vhost), &topology);
    publisher.ready().await;
    publisher.publish(&request("a")).await.expect("is confirmed");
    let channel = connection.create_channel().await.expect("opens");
    let got = channel.basic_get("p.requests".into(), lapin::options::BasicGetOptions::default()).await;
    let message = got.expect("answers").expect("is there").delivery;
    assert_eq!(message.data, br#"{"requestId":"a","requestData":1}"#);
    assert_eq!(message.properties.delivery_mode(), &Some(2));
    assert_eq!(message.properties.message_id().as_ref().map(|id| id.as_str()), Some("a"));
}

#[tokio::test]
async fn a_full_queue_refuses_and_says_so() {
    let topology = Topology { max_length: Some(3), ..Topology::named("p") };
    let (vhost, _connection, _) = declared(&topology).await;
    let (publisher, _stop) = start(address(&vhost), &topology);
    publisher.ready().await;
    let refused =
        eventually("a refusal", Duration::from_secs(10), async || match publisher.publish(&request("a")).await {
            Err(refusal @ PublishError::Full { .. }) => Ok(refusal),
            other => Err(format!("{other:?}")),
        });
    assert!(refused.await.to_string().contains("full"));
}

#[tokio::test]
async fn a_message_larger_than_rabbitmq_takes_is_refused_and_the_largest_is_confirmed() {
    let topology = Topology::named("p");
    let (vhost, _connection, _) = declared(&topology).await;
    let (publisher, _stop) = start(address(&vhost), &topology);
    publisher.ready().await;
    let sized = |size| Outgoing { body: vec![b' '; size], ..request("a") };
    let refused = publisher.publish(&sized(LARGEST_BODY + 1)).await;
    assert!(matches!(refused, Err(PublishError::TooLarge { size: 16_777_217, .. })), "{refused:?}");
    publisher.publish(&sized(LARGEST_BODY)).await.expect("is confirmed");
}

#[tokio::test]
async fn a_key_without_a_queue_is_not_confirmed() {
    let topology = Topology::named("p");
    let (vhost, _connection, _) = declared(&topology).await;
    let (publisher, _stop) = start(address(&vhost), &topology);
    publisher.ready().await;
    let message = Outgoing { routing_key: "nowhere".into(), ..request("a") };
    let refusal = eventually("a refusal", Duration::from_secs(5), async || match publisher.publish(&message).await {
        Err(refusal @ PublishError::Unroutable { .. }) => Ok(refusal),
        other => Err(format!("{other:?}")),
    });
    assert!(refusal.await.to_string().contains("`nowhere`"));
}

#[tokio::test]
async fn a_missing_topology_is_waited_for_and_named() {
    let vhost = broker::vhost("messaging").await;
    let topology = Topology::named("p");
    let (publisher, _stop) = start(address(&vhost), &topology);
    eventually("the state says what is missing", Duration::from_secs(5), async || match publisher.state() {
        LinkState::TopologyMissing { missing } if missing.contains(&"queue p.requests".to_owned()) => Ok(()),
        other => Err(other.to_string()),
    })
    .await;
    let refusal = publisher.publish(&request("a")).await.expect_err("there is no queue");
    assert!(refusal.to_string().contains("warren-operator local"), "{refusal}");
    let connection = connect(&address(&vhost), "test", Frames::Small).await.expect("connects");
    declare(&connection, &topology.plan()).await.expect("is declared");
    eventually("a publish", Duration::from_secs(5), async || publisher.publish(&request("a")).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn among_many_messages_in_flight_only_those_on_a_queue_count_as_confirmed() {
    let topology = Topology::named("p");
    let (vhost, _connection, _) = declared(&topology).await;
    let (publisher, _stop) = start(address(&vhost), &topology);
    publisher.ready().await;
    let publish = |number: u32| {
        let publisher = publisher.clone();
        async move {
            let mut message = request(&number.to_string());
            // Every third finds no queue.
            if number.is_multiple_of(3) {
                message.routing_key = "nowhere".into();
            }
            (number, publisher.publish(&message).await)
        }
    };
    let mut confirmed = 0;
    for round in 0..20 {
        let outcomes = futures::future::join_all((0..240).map(|number| publish(round * 240 + number))).await;
        for (number, outcome) in outcomes {
            match outcome {
                Ok(()) => {
                    assert!(!number.is_multiple_of(3), "message {number} went nowhere and was confirmed");
                    confirmed += 1;
                }
                Err(PublishError::Unroutable { .. }) => {
                    assert!(number.is_multiple_of(3), "message {number} is on its queue");
                }
                Err(PublishError::InDoubt { .. }) => {}
                Err(other) => panic!("message {number}: {other}"),
            }
        }
    }
    assert!(confirmed > 0);
}

/// What is done to every queue of a node: `sys:suspend` lets their messages lie, `sys:resume` goes on with them.
async fn to_each_queue(mut rabbitmqctl: Command, what: &str) {
    let code = format!("lists:foreach(fun(Queue) -> {what}(amqqueue:get_pid(Queue)) end, rabbit_amqqueue:list()).");
    rabbitmqctl.args(["eval", &code]);
    let done = tokio::task::spawn_blocking(move || rabbitmqctl.output()).await.expect("ends").expect("runs");
    assert!(done.status.success(), "{done:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_on_which_nothing_is_confirmed_any_more_is_replaced() {
    let node = broker::private().await;
    let address: Broker = node.url().parse().expect("an address");
    let topology = Topology { queue_type: QueueType::Classic, ..Topology::named("p") };
    let connection = connect(&address, "test", Frames::Small).await.expect("connects");
    declare(&connection, &topology.plan()).await.expect("is declared");
    let (publisher, _stop) = start(address, &topology);
    publisher.ready().await;
    to_each_queue(node.control(), "sys:suspend").await;
    let in_doubt = publisher.publish(&request("a")).await.expect_err("nobody confirms");
    assert!(matches!(in_doubt, PublishError::TimedOut { .. }), "{in_doubt:?}");
    eventually("the connection to be given up", Duration::from_secs(40), async || match publisher.state() {
        LinkState::Connecting { last_error: Some(error) } if error.contains("confirmed nothing for 2") => Ok(()),
        state => Err(format!("{state:?}")),
    })
    .await;
    to_each_queue(node.control(), "sys:resume").await;
    publisher.ready().await;
    publisher.publish(&request("b")).await.expect("is confirmed");
}

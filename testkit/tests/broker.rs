//! Virtual hosts of the shared broker, and private ones.

use lapin::{
    options::{BasicAckOptions, BasicConsumeOptions, BasicGetOptions, QueueBindOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};
use std::{net::TcpStream, time::Duration};
use warren_testkit::broker::{self, Vhost};

const SOON: Duration = Duration::from_secs(20);

async fn declare(vhost: &Vhost, queue: &str, kind: &str) {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString(kind.into()));
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    vhost.channel().await.queue_declare(queue.into(), options, arguments).await.unwrap();
}

#[tokio::test]
async fn each_test_has_a_virtual_host_of_its_own() {
    let (mine, yours) = (broker::vhost("mine").await, broker::vhost("yours").await);
    declare(&mine, "letters", "classic").await;
    assert_eq!(mine.queue("letters").await.map(|queue| queue.name).as_deref(), Some("letters"));
    assert_eq!(yours.queue("letters").await, None);
    assert!(yours.queues().await.is_empty());
}

#[tokio::test]
async fn the_figures_of_a_queue_tell_ready_from_unacked() {
    let vhost = broker::vhost("figures").await;
    for kind in ["classic", "quorum"] {
        declare(&vhost, kind, kind).await;
        for body in ["one", "two", "three"] {
            vhost.publish("", kind, body).await;
        }
        let channel = vhost.channel().await;
        let held = channel.basic_get(kind.into(), BasicGetOptions { no_ack: false }).await.unwrap().unwrap();
        let queue = vhost.queue_when(kind, "one unacked", SOON, |queue| (queue.ready, queue.unacked) == (2, 1)).await;
        assert_eq!((queue.kind.as_str(), queue.durable, queue.messages), (kind, true, 3));
        assert_eq!(queue.arguments["x-queue-type"], kind);

        held.delivery.acker.ack(BasicAckOptions::default()).await.unwrap();
        assert_eq!(vhost.get(kind).await.unwrap().data, b"two");
        vhost.queue_when(kind, "one message left", SOON, |queue| queue.messages == 1).await;
    }
}

#[tokio::test]
async fn consumers_of_a_queue_are_counted() {
    let vhost = broker::vhost("consumers").await;
    declare(&vhost, "watched", "quorum").await;
    let connection = vhost.connect().await;
    let channel = connection.create_channel().await.unwrap();
    let (options, none) = (BasicConsumeOptions::default(), FieldTable::default());
    let _consumer = channel.basic_consume("watched".into(), "reader".into(), options, none).await.unwrap();
    vhost.queue_when("watched", "a consumer", SOON, |queue| queue.consumers == 1).await;
    connection.close(200, "done".into()).await.unwrap();
    vhost.queue_when("watched", "no consumer", SOON, |queue| queue.consumers == 0).await;
}

#[tokio::test]
async fn bindings_are_listed_without_those_of_the_default_exchange() {
    let vhost = broker::vhost("bindings").await;
    declare(&vhost, "a queue/with a slash", "classic").await;
    let (queue, key) = ("a queue/with a slash", "some.key");
    let options = QueueBindOptions::default();
    let channel = vhost.channel().await;
    channel.queue_bind(queue.into(), "amq.direct".into(), key.into(), options, FieldTable::default()).await.unwrap();
    let bindings = vhost.bindings().await;
    assert_eq!(bindings.len(), 1, "{bindings:?}");
    assert_eq!((bindings[0].source.as_str(), bindings[0].routing_key.as_str()), ("amq.direct", key));
    assert_eq!((bindings[0].destination.as_str(), bindings[0].destination_type.as_str()), (queue, "queue"));
    vhost.publish("amq.direct", key, "routed").await;
    assert_eq!(vhost.get(queue).await.unwrap().data, b"routed");
}

#[tokio::test]
#[should_panic(expected = "not taken")]
async fn publishing_to_nobody_fails_the_test() {
    broker::vhost("nobody").await.publish("", "nowhere", "lost").await;
}

#[tokio::test]
async fn a_dropped_virtual_host_is_gone_from_the_broker() {
    let vhost = broker::vhost("dropped").await;
    let url = vhost.url();
    vhost.connect().await;
    drop(vhost);
    let refused = lapin::Connection::connect(&url, lapin::ConnectionProperties::default()).await;
    let error = refused.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(error.contains("vhost"), "connected, or refused for another reason: {error:?}");
}

#[tokio::test]
async fn a_private_broker_may_be_killed_and_started_again() {
    let mut node = broker::private().await;
    assert!(node.url() != broker::shared().url());
    node.kill();
    assert!(TcpStream::connect(("127.0.0.1", node.amqp_port())).is_err());
    node.start_again().await.unwrap();
    assert!(TcpStream::connect(("127.0.0.1", node.amqp_port())).is_ok());
    let directory = node.directory().to_owned();
    drop(node);
    assert!(!directory.exists());
}

//! What a node keeps.

use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, options::*, types::AMQPValue,
    types::FieldTable,
};
use tempfile::TempDir;
use warren_rabbitmq_node::{Node, Settings};

#[tokio::test]
async fn queues_and_persistent_messages_survive_a_stop_and_a_kill() {
    let folder = TempDir::new().unwrap();
    let mut node = Node::start(Settings::new(folder.path())).await.unwrap();
    let ports = node.ports();
    publish_to_both_queue_types(&node, b"before the stop").await;

    node.stop().await.unwrap();
    node.start_again().await.unwrap();
    assert_eq!(node.ports(), ports, "a client must find the node where it was");
    assert_eq!(take_from_both_queue_types(&node).await, ["before the stop", "before the stop"]);

    publish_to_both_queue_types(&node, b"before the kill").await;
    node.kill();
    node.start_again().await.unwrap();
    assert_eq!(take_from_both_queue_types(&node).await, ["before the kill", "before the kill"]);
}

#[tokio::test]
async fn a_node_on_other_ports_finds_the_queues_of_the_former_one() {
    let folder = TempDir::new().unwrap();
    let mut node = Node::start(Settings::new(folder.path())).await.unwrap();
    let former = node.ports();
    publish_to_both_queue_types(&node, b"still here").await;
    node.stop().await.unwrap();
    drop(node);

    let node = Node::start(Settings::new(folder.path())).await.unwrap();
    assert_ne!(node.ports(), former);
    assert_eq!(take_from_both_queue_types(&node).await, ["still here", "still here"]);
}

async fn channel(node: &Node) -> Channel {
    let connection = Connection::connect(&node.url(), ConnectionProperties::default()).await.unwrap();
    connection.create_channel().await.unwrap()
}

async fn publish_to_both_queue_types(node: &Node, body: &[u8]) {
    let channel = channel(node).await;
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    for kind in ["classic", "quorum"] {
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString(kind.into()));
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        channel.queue_declare(kind.into(), options, arguments).await.unwrap();
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let properties = BasicProperties::default().with_delivery_mode(2);
        let confirm = channel.basic_publish("".into(), kind.into(), options, body, properties).await.unwrap();
        assert!(matches!(confirm.await.unwrap(), Confirmation::Ack(None)), "{kind}: not confirmed");
    }
}

async fn take_from_both_queue_types(node: &Node) -> [String; 2] {
    let channel = channel(node).await;
    let mut bodies = [const { String::new() }; 2];
    for (kind, body) in ["classic", "quorum"].into_iter().zip(&mut bodies) {
        let options = BasicGetOptions { no_ack: true };
        let message = channel.basic_get(kind.into(), options).await.unwrap();
        *body = message.map_or("(queue empty)".to_owned(), |m| String::from_utf8(m.delivery.data).unwrap());
    }
    bodies
}

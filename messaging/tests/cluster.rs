//! Publishing to a cluster of brokers.

use crate::publishing::{request, start};
use std::{process::Command, time::Duration};
use tempfile::TempDir;
use warren_messaging::{
    broker::Broker,
    link::{Frames, connect},
    publisher::PublishError,
    topology::{Topology, declare::declare},
};
use warren_rabbitmq_node::{Member, Node, PortMapper, Settings};
use warren_testkit::eventually;

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_lost_its_leader_is_published_to_again_once_it_has_another() {
    let folder = TempDir::new().expect("is made");
    let mapper = PortMapper::start(folder.path().join("epmd.log")).await.expect("starts");
    let member = |name: &str| {
        let member = Member { name: name.into(), cookie: "SECRET".into(), epmd: mapper.port() };
        Node::start(Settings { member: Some(member), ..Settings::new(folder.path().join(name)) })
    };
    let near = member("near").await.expect("starts");
    let other = member("other").await.expect("starts");
    let mut leader = member("leader").await.expect("starts");
    other.join(&near).await.expect("joins");
    leader.join(&near).await.expect("joins");
    let topology = Topology::named("p");
    let connection = connect(&address(&leader), "test", Frames::Small).await.expect("connects");
    declare(&connection, &topology.plan()).await.expect("is declared");

    let (publisher, _stop) = start(address(&near), &topology);
    publisher.ready().await;
    // With one of three left there can be no election, and the first message meets a queue without a leader.
    signal(&other, "STOP");
    leader.kill();
    let refused =
        eventually("a refusal", Duration::from_secs(20), async || match publisher.publish(&request("a")).await {
            Err(refusal @ PublishError::Full { .. }) => Ok(refusal),
            other => Err(format!("{other:?}")),
        });
    refused.await;
    signal(&other, "CONT");
    eventually("a confirm", Duration::from_secs(60), async || publisher.publish(&request("b")).await).await;
}

fn address(node: &Node) -> Broker {
    node.url().parse().expect("the node gives an address")
}

fn signal(node: &Node, signal: &str) {
    let pid = node.pid().expect("runs").to_string();
    let status = Command::new("kill").args(["-s", signal, &pid]).status().expect("there is `kill`");
    assert!(status.success());
}

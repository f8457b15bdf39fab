//! Publishing to a cluster of brokers.

use crate::publishing::{request, start};
use std::{process::Command, time::Duration};
use tempfile::TempDir;
use warren_messaging::{
    broker::Broker,
    link::{Frames, connect},
    publisher::PublishError,
    topology::{
        QueueType, Topology, check,
        declare::declare,
        remove::{Removal, remove},
    },
};
use warren_rabbitmq_node::{Member, Node, PortMapper, Settings};
use warren_testkit::eventually;

/// Where the nodes of a cluster live.
struct Place {
    folder: TempDir,
    mapper: PortMapper,
}

impl Place {
    async fn new() -> Self {
        let folder = TempDir::new().expect("is made");
        let mapper = PortMapper::start(folder.path().join("epmd.log")).await.expect("starts");
        Self { folder, mapper }
    }

    async fn node(&self, name: &str) -> Node {
        let member = Member { name: name.into(), cookie: "SECRET".into(), epmd: self.mapper.port() };
        let settings = Settings { member: Some(member), ..Settings::new(self.folder.path().join(name)) };
        Node::start(settings).await.expect("starts")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_classic_queue_whose_node_is_down_is_not_missing_and_its_pipeline_not_gone() {
    let place = Place::new().await;
    let (near, mut home) = (place.node("near").await, place.node("home").await);
    home.join(&near).await.expect("joins");
    let plan = Topology { queue_type: QueueType::Classic, ..Topology::named("p") }.plan();
    let connection = connect(&address(&home), "test", Frames::Small).await.expect("connects");
    declare(&connection, &plan).await.expect("is declared");
    home.kill();
    let connection = connect(&address(&near), "test", Frames::Small).await.expect("connects");
    let counted = check::counts(&connection, "p.requests").await;
    assert!(counted.as_ref().is_err_and(|error| error.to_string().contains("down")), "{counted:?}");
    let removed = remove(&connection, &plan, Removal::IfEmpty).await;
    assert!(removed.is_err(), "{removed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_lost_its_leader_is_published_to_again_once_it_has_another() {
    let place = Place::new().await;
    let (near, other, mut leader) = (place.node("near").await, place.node("other").await, place.node("leader").await);
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

//! The messaging crate against real RabbitMQ nodes.

mod cluster;
mod journal;
mod loss;
mod migration;
mod publishing;
mod removal;
mod restart;
mod tls;
mod topology;

use lapin::Connection;
use warren_messaging::{
    broker::Broker,
    link::{Frames, connect},
    topology::{Topology, TopologyPlan, declare::declare},
};
use warren_testkit::broker::{self, Vhost};

fn address(vhost: &Vhost) -> Broker {
    vhost.url().parse().expect("the testkit gives an address")
}

/// A virtual host of the test's own in which the topology is declared.
async fn declared(topology: &Topology) -> (Vhost, Connection, TopologyPlan) {
    let vhost = broker::vhost("messaging").await;
    let connection = connect(&address(&vhost), "test", Frames::Small).await.expect("connects");
    let plan = topology.plan();
    declare(&connection, &plan).await.expect("is declared");
    (vhost, connection, plan)
}

/// Whether the exchange leads `key` to `queue`.
async fn is_bound(vhost: &Vhost, queue: &str, key: &str) -> bool {
    vhost.bindings().await.iter().any(|binding| binding.destination == queue && binding.routing_key == key)
}

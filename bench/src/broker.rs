//! A RabbitMQ node for the measurement alone, and what is done to its queues between measurements.

use anyhow::Context as _;
use futures::StreamExt as _;
use lapin::{
    Channel, Connection,
    options::{ConfirmSelectOptions, QueueDeclareOptions, QueuePurgeOptions},
    types::FieldTable,
};
use std::path::Path;
use warren_messaging::{
    broker,
    link::{Frames, connect},
    message::{Outgoing, Request},
    topology::{Topology, declare::declare},
};
use warren_rabbitmq_node::{Node, Settings};

use crate::{bare_publisher, sample};

/// How many messages are on their way while a queue is filled.
const FILL_IN_FLIGHT: usize = 1000;

/// The node, with the topology of one pipeline.
pub struct Broker {
    /// What was declared.
    pub topology: Topology,
    node: Node,
    reached_at: broker::Broker,
    control: Channel,
    _connection: Connection,
}

impl Broker {
    /// Starts it in a folder of `scratch`, and declares the pipeline `p` as Warren's operator does.
    pub async fn start(scratch: &Path) -> anyhow::Result<Self> {
        let node = Node::start(Settings { ephemeral: true, ..Settings::new(scratch.join("rabbitmq")) }).await?;
        let reached_at: broker::Broker = node.url().parse()?;
        let connection = connect(&reached_at, "bench control", Frames::Small).await?;
        let topology = Topology::named("p");
        declare(&connection, &topology.plan()).await?;
        let control = connection.create_channel().await?;
        Ok(Self { topology, node, reached_at, control, _connection: connection })
    }

    /// Its address as the programs take it.
    pub fn address(&self) -> String {
        self.node.url()
    }

    /// The process id of its Erlang VM.
    pub fn pid(&self) -> anyhow::Result<u32> {
        self.node.pid().context("RabbitMQ ended during the measurement")
    }

    /// The line of its log that names its version.
    pub fn version(&self) -> anyhow::Result<String> {
        let log = std::fs::read_to_string(self.node.directory().join("rabbitmq.log"))?;
        let line = log.lines().find_map(|line| line.split_once("Starting RabbitMQ "));
        Ok(line.map_or("of unknown version".into(), |(_, version)| version.trim().to_owned()))
    }

    /// Another connection.
    pub async fn connect(&self, name: &str) -> anyhow::Result<Connection> {
        Ok(connect(&self.reached_at, name, Frames::Large).await?)
    }

    /// Another connection's only channel, in confirm mode.
    pub async fn confirming(&self, name: &str) -> anyhow::Result<(Connection, Channel)> {
        let connection = self.connect(name).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok((connection, channel))
    }

    /// Empties the queues for requests and results.
    pub async fn purge(&self) -> anyhow::Result<()> {
        for queue in [self.topology.requests(), self.topology.results()] {
            self.control.queue_purge(queue.as_str().into(), QueuePurgeOptions::default()).await?;
        }
        Ok(())
    }

    /// How many results wait.
    pub async fn results(&self) -> anyhow::Result<u32> {
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let queue = self.topology.results();
        let answer = self.control.queue_declare(queue.as_str().into(), options, FieldTable::default()).await?;
        Ok(answer.message_count())
    }

    /// Puts `many` requests on the queue, each as the web side would.
    pub async fn fill(&self, many: u32) -> anyhow::Result<()> {
        let (connection, channel) = self.confirming("bench fill").await?;
        let publishing = futures::stream::iter(0..many).map(|_| self.request(&channel));
        let mut published = publishing.buffer_unordered(FILL_IN_FLIGHT);
        while let Some(outcome) = published.next().await {
            outcome?;
        }
        connection.close(200, "filled".into()).await?;
        Ok(())
    }

    async fn request(&self, channel: &Channel) -> anyhow::Result<()> {
        let data = sample::data();
        let message = Request { request_id: sample::id(), request_data: &data }.to_message();
        let Outgoing { routing_key, body, properties, .. } = message;
        bare_publisher::publish(channel, &self.topology.exchange, &routing_key, &body, properties).await
    }
}

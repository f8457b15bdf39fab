//! The broker: one node or a cluster, behind a proxy that can break the line to it.

use crate::local::PIPELINE;
use anyhow::{Context as _, bail};
use lapin::{
    Connection, ConnectionProperties,
    options::{BasicAckOptions, BasicGetOptions, QueueDeleteOptions},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::Command,
    time::Duration,
};
use warren_rabbitmq_node::{Member, Node, PortMapper, Settings};
use warren_testkit::proxy::Proxy;

/// Warren's heartbeat in seconds: short, so that a campaign sees many of them missed.
const HEARTBEAT: u16 = 5;
/// By it the nodes of a cluster trust each other. They listen on loopback alone.
const COOKIE: &str = "WARRENCHAOS";
/// How long `rabbitmqctl` may take there.
const CONTROL: Duration = Duration::from_secs(300);
/// How long a node may take to boot on a machine that is busy.
const BOOT: Duration = Duration::from_secs(600);

/// Node and line.
#[derive(Debug)]
pub struct Brokers {
    nodes: Vec<Node>,
    /// What Warren connects to.
    pub line: Proxy,
    // After the nodes.
    _mapper: Option<PortMapper>,
}

impl Brokers {
    /// Starts them in a directory.
    ///
    /// # Errors
    /// A node does not start.
    pub async fn start(directory: &Path, server: Option<&Path>, count: u16) -> anyhow::Result<Self> {
        let mapper = if count > 1 { Some(PortMapper::start(directory.join("epmd.log")).await?) } else { None };
        let mut nodes: Vec<Node> = Vec::new();
        for number in 0..count {
            let member = mapper.as_ref().map(|mapper| Member {
                name: format!("warren{number}"),
                cookie: COOKIE.to_owned(),
                epmd: mapper.port(),
            });
            let place = directory.join(format!("rabbitmq-{number}"));
            let server = server.map(Path::to_owned);
            let node = Node::start(Settings { server, boot_deadline: BOOT, member, ..Settings::new(place) }).await?;
            if let Some(first) = nodes.first() {
                node.join(first).await?;
            }
            nodes.push(node);
        }
        let addresses: Vec<String> = nodes.iter().map(|node| format!("127.0.0.1:{}", node.amqp_port())).collect();
        Ok(Self { nodes, line: Proxy::balancing(&addresses), _mapper: mapper })
    }

    /// Whether there is more than one.
    #[must_use]
    pub fn is_cluster(&self) -> bool {
        self.nodes.len() > 1
    }

    /// The address for Warren.
    #[must_use]
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@{}/%2f?heartbeat={HEARTBEAT}", self.line.address())
    }

    /// The line of the log that names the version.
    #[must_use]
    pub fn version(&self) -> String {
        let log = self.nodes.first().map(|node| node.directory().join("rabbitmq.log"));
        let log = log.and_then(|log| std::fs::read(log).ok()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log).into_owned();
        let line = log.lines().find_map(|line| line.split_once("Starting RabbitMQ "));
        line.map_or("of unknown version".into(), |(_, version)| version.trim().to_owned())
    }

    /// A node's process.
    #[must_use]
    pub fn pid(&self, pick: u32) -> Option<u32> {
        self.nodes.get(self.index(pick))?.pid()
    }

    /// Kills a node, as a power cut would.
    pub fn kill(&mut self, pick: u32) {
        let index = self.index(pick);
        if let Some(node) = self.nodes.get_mut(index) {
            node.kill();
        }
    }

    /// Starts again what does not run.
    ///
    /// # Errors
    /// It does not start.
    pub async fn mend(&mut self) -> anyhow::Result<()> {
        for node in &mut self.nodes {
            if node.exited().is_some() {
                node.start_again().await?;
            }
        }
        Ok(())
    }

    /// Makes a node short of memory, or not.
    ///
    /// # Errors
    /// It does not listen.
    pub async fn starve(&self, pick: u32, starved: bool) -> anyhow::Result<()> {
        let limit = if starved { "1" } else { "1073741824" };
        let node = self.nodes.get(self.index(pick)).context("there is no node")?;
        control(node, &["set_vm_memory_high_watermark", "absolute", limit]).await.map(drop)
    }

    /// Deletes a queue, with all that is in it; says how many messages it held ready.
    ///
    /// # Errors
    /// The broker does not answer.
    pub async fn delete(&self, queue: &str) -> anyhow::Result<u32> {
        let connection = self.connect().await?;
        let channel = connection.create_channel().await?;
        let held = channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await?;
        connection.close(200, "done".into()).await?;
        Ok(held)
    }

    /// All messages per queue, those in work and those that wait to be dead-lettered included.
    ///
    /// # Errors
    /// The broker does not answer.
    pub async fn messages(&self) -> anyhow::Result<BTreeMap<String, u64>> {
        let node = self.nodes.first().context("there is no node")?;
        let text = control(node, &["list_queues", "--silent", "name", "messages"]).await?;
        let pair = |line: &str| {
            let (name, count) = line.split_once('\t')?;
            Some((name.to_owned(), count.trim().parse().ok()?))
        };
        Ok(text.lines().filter_map(pair).collect())
    }

    /// Takes everything out of the dead letters: the ids, and how many letters there were.
    ///
    /// # Errors
    /// The broker does not answer.
    pub async fn dead(&self) -> anyhow::Result<(BTreeSet<String>, usize)> {
        let connection = self.connect().await?;
        let channel = connection.create_channel().await?;
        let (mut ids, mut count) = (BTreeSet::new(), 0);
        let queue = format!("{PIPELINE}.dead");
        while let Some(letter) = channel.basic_get(queue.as_str().into(), BasicGetOptions::default()).await? {
            let body: serde_json::Value = serde_json::from_slice(&letter.data)?;
            ids.insert(body["requestId"].as_str().unwrap_or_default().to_owned());
            count += 1;
            letter.ack(BasicAckOptions::default()).await?;
        }
        connection.close(200, "done".into()).await?;
        Ok((ids, count))
    }

    /// To a node itself, past the line.
    async fn connect(&self) -> anyhow::Result<Connection> {
        let node = self.nodes.first().context("there is no node")?;
        let url = node.url();
        let connecting = Connection::connect(&url, ConnectionProperties::default());
        Ok(tokio::time::timeout(Duration::from_secs(20), connecting).await.context("the broker does not answer")??)
    }

    fn index(&self, pick: u32) -> usize {
        usize::try_from(pick).unwrap_or(0) % self.nodes.len().max(1)
    }
}

async fn control(node: &Node, arguments: &[&str]) -> anyhow::Result<String> {
    let mut command: Command = node.control();
    command.args(arguments);
    let output = tokio::process::Command::from(command).kill_on_drop(true).output();
    let output = tokio::time::timeout(CONTROL, output).await.context("rabbitmqctl hangs")??;
    if !output.status.success() {
        let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        bail!("rabbitmqctl {arguments:?}: {}: {said}{complained}", output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

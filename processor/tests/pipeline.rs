//! A pipeline of a test's own: declared, written to and read from as the web side would.

use jiff::Timestamp;
use lapin::{
    BasicProperties, Channel, Connection,
    options::{BasicAckOptions, BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions},
    types::{AMQPValue, FieldTable},
};
use serde_json::Value;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use warren_messaging::{
    link,
    retry::RetryPolicy,
    topology::{Argument, QueueType, Topology, check, declare::declare},
};

/// How long anything may take that should take milliseconds, on a machine that is busy with other tests.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Exchange and queues on a virtual host of their own.
pub struct Pipeline {
    pub url: String,
    pub topology: Topology,
    connection: Connection,
    channel: Channel,
}

/// What came out of a queue.
#[derive(Debug)]
pub struct Taken {
    pub body: Vec<u8>,
    pub properties: BasicProperties,
}

impl Taken {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("is JSON")
    }

    pub fn header(&self, name: &str) -> Option<String> {
        match self.properties.headers().as_ref()?.inner().get(name)? {
            AMQPValue::LongString(text) => Some(text.to_string()),
            AMQPValue::LongLongInt(number) => Some(number.to_string()),
            other => Some(format!("{other:?}")),
        }
    }
}

/// Three attempts within a third of a second.
pub fn hasty(queue_type: QueueType) -> Topology {
    let (initial_delay, max_delay) = (Duration::from_millis(100), Duration::from_millis(200));
    let retry = RetryPolicy { max_attempts: 3, initial_delay, factor: 2, max_delay };
    Topology { queue_type, retry, ..Topology::named("processing") }
}

impl Pipeline {
    /// Quorum queues on the shared broker.
    pub async fn declared() -> Self {
        Self::at(&warren_testkit::broker::vhost().await.url(), hasty(QueueType::Quorum)).await
    }

    /// Such a pipeline at this address.
    pub async fn at(url: &str, topology: Topology) -> Self {
        let pipeline = Self::undeclared(url, topology).await;
        pipeline.declare(None).await;
        pipeline
    }

    /// A connection only.
    pub async fn undeclared(url: &str, topology: Topology) -> Self {
        let (connection, channel) = open(url).await;
        Self { url: url.to_owned(), topology, connection, channel }
    }

    /// Declares everything, with another delivery limit if one is given.
    pub async fn declare(&self, delivery_limit: Option<i64>) {
        let mut plan = self.topology.plan();
        let arguments = plan.queues.iter_mut().flat_map(|queue| &mut queue.arguments);
        for (_, value) in arguments.filter(|(name, _)| *name == "x-delivery-limit") {
            *value = delivery_limit.map_or(value.clone(), Argument::Number);
        }
        declare(&self.connection, &plan).await.expect("the broker takes the topology");
    }

    /// After the broker was away.
    pub async fn reconnect(&mut self) {
        let give_up = Instant::now() + DEADLINE;
        let url = self.url.parse().expect("is an address");
        while link::connect(&url, "test").await.is_err() {
            assert!(Instant::now() < give_up, "the broker did not come back");
            sleep(Duration::from_millis(50)).await;
        }
        (self.connection, self.channel) = open(&self.url).await;
    }

    /// A request as the original demo's web service sends it: an integer id and no properties at all.
    pub async fn request(&self, id: u32, data: &str) {
        let body = format!(r#"{{"requestId":{id},"requestData":{data}}}"#);
        self.send(body.as_bytes(), BasicProperties::default()).await;
    }

    /// A request which says that it was delivered `count` times before.
    pub async fn suspect(&self, id: u32, count: i64) {
        let mut headers = FieldTable::default();
        headers.insert("x-delivery-count".into(), AMQPValue::LongLongInt(count));
        let body = format!(r#"{{"requestId":{id},"requestData":"x"}}"#);
        self.send(body.as_bytes(), BasicProperties::default().with_headers(headers)).await;
    }

    pub async fn send(&self, body: &[u8], properties: BasicProperties) {
        let exchange = self.topology.exchange.as_str().into();
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let sent = self.channel.basic_publish(exchange, "request".into(), options, body, properties);
        let confirmed = sent.await.expect("is sent").await.expect("is answered");
        assert!(matches!(confirmed, lapin::Confirmation::Ack(None)), "{confirmed:?}");
    }

    /// The next message with this routing key's meaning; other messages in the queue are thrown away.
    pub async fn next(&self, queue: &str, kind: &str) -> Taken {
        let give_up = Instant::now() + DEADLINE;
        loop {
            match self.take(queue).await {
                Some(taken) if taken.properties.kind().as_ref().is_some_and(|is| is.as_str() == kind) => return taken,
                Some(_) => {}
                None => sleep(Duration::from_millis(10)).await,
            }
            assert!(Instant::now() < give_up, "no `{kind}` in {queue} within {DEADLINE:?}: {}", self.depths().await);
        }
    }

    pub async fn result(&self) -> Taken {
        self.next(&self.topology.results(), "result").await
    }

    pub async fn dead(&self) -> Taken {
        self.next(&self.topology.dead(), "failure").await
    }

    /// The next message of any kind, if there is one.
    pub async fn take(&self, queue: &str) -> Option<Taken> {
        let got = self.channel.basic_get(queue.into(), BasicGetOptions::default()).await.expect("is answered")?;
        got.delivery.acker.ack(BasicAckOptions::default()).await.expect("is acked");
        Some(Taken { body: got.delivery.data, properties: got.delivery.properties })
    }

    pub async fn depth(&self, queue: &str) -> u32 {
        check::depth(&self.connection, queue).await.expect("is answered").expect("exists")
    }

    /// Waits until a queue holds this many ready messages.
    pub async fn settles_at(&self, queue: &str, depth: u32) {
        let give_up = Instant::now() + DEADLINE;
        while self.depth(queue).await != depth {
            assert!(Instant::now() < give_up, "{queue} did not reach {depth}: {}", self.depths().await);
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Every queue with what is ready in it, for whoever reads a failure.
    pub async fn depths(&self) -> String {
        let mut text = format!("{}: ", Timestamp::now());
        for queue in self.topology.plan().queues {
            text.push_str(&format!("{}={} ", queue.name, self.depth(&queue.name).await));
        }
        text
    }
}

async fn open(url: &str) -> (Connection, Channel) {
    let url = url.parse().expect("is an address");
    let connection = link::connect(&url, "test").await.expect("the broker answers");
    let channel = connection.create_channel().await.expect("opens");
    channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms");
    (connection, channel)
}

//! A pipeline of a test's own: declared, written to and read from as the web side would.

use lapin::{
    BasicProperties, Channel, Connection,
    options::{
        BasicAckOptions, BasicGetOptions, BasicNackOptions, BasicPublishOptions, ConfirmSelectOptions,
        QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions,
    },
    types::{AMQPValue, FieldTable},
};
use serde_json::Value;
use std::{thread, time::Duration};
use warren_messaging::{
    link,
    message::Order,
    retry::RetryPolicy,
    topology::{Argument, QueueType, Topology, check, declare::declare, orders},
};
use warren_testkit::{
    broker::{Vhost, vhost},
    eventually,
    eventually::when,
};

/// How long anything may take that should take milliseconds, on a machine that is busy with other tests.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Exchange and queues on a virtual host of their own.
pub struct Pipeline {
    pub url: String,
    pub topology: Topology,
    connection: Connection,
    channel: Channel,
    /// Deleted with the pipeline; none on a broker of the test's own.
    _vhost: Option<Vhost>,
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
        Self::with(hasty(QueueType::Quorum)).await
    }

    /// Such queues on the shared broker.
    pub async fn with(topology: Topology) -> Self {
        let pipeline = Self { topology, ..Self::undeclared().await };
        pipeline.declare(None).await;
        pipeline
    }

    /// An empty virtual host on the shared broker.
    pub async fn undeclared() -> Self {
        // Tests run on threads that are named after them.
        let vhost = vhost(thread::current().name().unwrap_or("processor")).await;
        let pipeline = Self::at(&vhost.url()).await;
        Self { _vhost: Some(vhost), ..pipeline }
    }

    /// What is at this address.
    pub async fn at(url: &str) -> Self {
        let (connection, channel) = open(url).await;
        Self { url: url.to_owned(), topology: hasty(QueueType::Quorum), connection, channel, _vhost: None }
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
        let url = self.url.parse().expect("is an address");
        let back =
            async || link::connect(&url, "test", link::Frames::Large).await.map_err(|error| format!("{error:?}"));
        eventually("the broker to be back", DEADLINE, back).await;
        (self.connection, self.channel) = open(&self.url).await;
    }

    /// Takes a binding away, as somebody who tidies up would.
    pub async fn unbind(&self, queue: &str, key: &str) {
        let exchange = self.topology.exchange.as_str().into();
        let unbound = self.channel.queue_unbind(queue.into(), exchange, key.into(), FieldTable::default());
        unbound.await.expect("is unbound");
    }

    /// A queue of its own for everything with this key.
    pub async fn listen_to(&self, key: &str) -> String {
        let queue = format!("test.{key}");
        let declared =
            self.channel.queue_declare(queue.as_str().into(), QueueDeclareOptions::durable(), FieldTable::default());
        declared.await.expect("is declared");
        let exchange = self.topology.exchange.as_str().into();
        let options = QueueBindOptions::default();
        let bound =
            self.channel.queue_bind(queue.as_str().into(), exchange, key.into(), options, FieldTable::default());
        bound.await.expect("is bound");
        queue
    }

    pub async fn delete(&self, queue: &str) {
        self.channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await.expect("is deleted");
    }

    /// Takes the next request and gives it back, as a worker that crashed.
    pub async fn return_to_queue(&self) {
        self.return_to_queue_after(async || {}).await;
    }

    /// The same, and does something else while it has the request.
    pub async fn return_to_queue_after(&self, meanwhile: impl AsyncFnOnce()) {
        let queue = self.topology.requests();
        let got = self.channel.basic_get(queue.as_str().into(), BasicGetOptions::default()).await.expect("is answered");
        meanwhile().await;
        let others = self.depth(&queue).await;
        let back = BasicNackOptions { requeue: true, ..BasicNackOptions::default() };
        got.expect("a request is there").delivery.acker.nack(back).await.expect("is given back");
        self.settles_at(&queue, others + 1).await;
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

    /// Asks the worker at this address to take nothing for a while.
    pub async fn order(&self, address: &str, take_nothing_for: Duration) {
        orders::give(&self.channel, address, Order { take_nothing_for }).await.expect("is given");
    }

    /// The next message of this type; others before it are thrown away.
    pub async fn next(&self, queue: &str, kind: &str) -> Taken {
        let look = async || match self.take(queue).await {
            Some(taken) if taken.properties.kind().as_ref().is_some_and(|is| is.as_str() == kind) => Ok(taken),
            other => Err(format!("{other:?}")),
        };
        eventually(&format!("a message of type {kind} in {queue}"), DEADLINE, look).await
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
        check::counts(&self.connection, queue).await.expect("is answered").expect("exists").ready
    }

    /// Waits until a queue holds this many ready messages.
    pub async fn settles_at(&self, queue: &str, depth: u32) {
        let look = async || when(self.depth(queue).await, |seen| *seen == depth);
        eventually(&format!("{queue} to hold {depth}"), DEADLINE, look).await;
    }
}

async fn open(url: &str) -> (Connection, Channel) {
    let url = url.parse().expect("is an address");
    let connection = link::connect(&url, "test", link::Frames::Large).await.expect("the broker answers");
    let channel = connection.create_channel().await.expect("opens");
    channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms");
    (connection, channel)
}

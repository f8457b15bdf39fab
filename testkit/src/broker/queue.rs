//! Queues and bindings, as the broker describes them.

use serde::Deserialize;
use serde_json::{Map, Value};

/// A queue with its figures.
#[derive(Debug, Clone, PartialEq)]
pub struct QueueState {
    /// Its name.
    pub name: String,
    /// `classic`, `quorum` or `stream`.
    pub kind: String,
    /// Whether it survives the broker.
    pub durable: bool,
    /// All its messages: ready, unacked, and dead letters that it still offers. This and the next two are 0 for a stream,
    /// whatever is in it.
    pub messages: u64,
    /// Messages that wait for a consumer.
    pub ready: u64,
    /// Messages that a consumer has and has not settled.
    pub unacked: u64,
    /// Its consumers, as of about a second ago.
    pub consumers: u64,
    /// The arguments it was declared with.
    pub arguments: Map<String, Value>,
}

/// A binding to a queue or an exchange.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Binding {
    /// The exchange that messages come from.
    pub source: String,
    /// The queue or exchange that they go to.
    pub destination: String,
    /// `queue` or `exchange`.
    pub destination_type: String,
    /// The routing key.
    pub routing_key: String,
    /// The arguments it was made with.
    pub arguments: Map<String, Value>,
}

/// A queue in the management API's words. The figures are missing until the queue has first told them.
#[derive(Debug, Deserialize)]
pub(super) struct Description {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    durable: bool,
    messages: Option<u64>,
    messages_ready: Option<u64>,
    messages_unacknowledged: Option<u64>,
    arguments: Map<String, Value>,
}

/// A consumer in the management API's words.
#[derive(Debug, Deserialize)]
pub(super) struct Consumer {
    queue: ConsumedQueue,
}

#[derive(Debug, Deserialize)]
struct ConsumedQueue {
    name: String,
}

impl Description {
    /// The queue with its figures; unknown is not zero, but of a stream the live listing never tells any.
    pub(super) fn state(self, of_vhost: &[Consumer]) -> Result<QueueState, String> {
        let figures = (self.messages, self.messages_ready, self.messages_unacknowledged);
        let figures = if self.kind == "stream" { (Some(0), Some(0), Some(0)) } else { figures };
        let (Some(messages), Some(ready), Some(unacked)) = figures else {
            return Err(format!("queue {:?} without figures", self.name));
        };
        let consumers = of_vhost.iter().filter(|consumer| consumer.queue.name == self.name).count() as u64;
        let Self { name, kind, durable, arguments, .. } = self;
        Ok(QueueState { name, kind, durable, messages, ready, unacked, consumers, arguments })
    }
}

//! What Warren's messages say: bodies, properties and headers, written and read in one place.
//!
//! Bodies are those of the original demo (`{requestId, requestData}` and `{requestId, processingResults}`), so
//! that any service which speaks them is a full partner. Everything else travels in properties and headers,
//! all of which a foreign sender may leave out.

mod event;
mod failure;
mod headers;
mod object;
mod order;
mod report;
mod request;
mod result;
mod spare;

pub use event::{Event, Progress};
pub use failure::{FailureReason, failure, failure_reason, shortened};
pub use headers::{ATTEMPT, DEADLINE, ERROR, Incoming, REASON, REPLAY, TRACEPARENT, VANISHED};
pub use object::{read, read_id};
pub use order::Order;
pub use report::{Report, Role};
pub use request::{Replayed, Request, alone, retry, untouched};
pub use result::{ResultBody, result};
pub use spare::Spare;

use crate::request_id::RequestId;
use headers::is_traceparent;
use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldTable},
};

/// The largest body that Warren gives RabbitMQ, in bytes: what `max_message_size` allows by default from RabbitMQ 4.0 on
/// (16 MiB; 128 MiB before). A larger one is answered by closing the channel, which takes along whatever else is in flight
/// there, and does not say which message it was.
pub const LARGEST_BODY: usize = 16 * 1024 * 1024;

/// A message ready to be published to a pipeline's exchange, or an order to the default one.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Where it goes.
    pub routing_key: String,
    /// JSON.
    pub body: Vec<u8>,
    /// Persistent, except reports and orders.
    pub properties: BasicProperties,
    /// Whether the broker must refuse it when no queue is bound to the key.
    pub mandatory: bool,
    /// Whether the body is as the broker delivered it: what it took once, whatever its size, it takes again.
    pub passed_on: bool,
}

impl Outgoing {
    fn new(routing_key: impl Into<String>, kind: &str, id: &RequestId, body: Vec<u8>) -> Self {
        let properties = properties(kind, Some(id));
        Self { routing_key: routing_key.into(), body, properties, mandatory: true, passed_on: false }
    }

    /// A message whose body is as the broker delivered it.
    fn passing_on(routing_key: impl Into<String>, kind: &str, id: &RequestId, body: Vec<u8>) -> Self {
        Self { passed_on: true, ..Self::new(routing_key, kind, id, body) }
    }

    /// Whether a broker may refuse it for its size: see [`LARGEST_BODY`].
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        !self.passed_on && self.body.len() > LARGEST_BODY
    }

    fn with_headers(mut self, headers: FieldTable) -> Self {
        self.properties = self.properties.with_headers(headers);
        self
    }
}

/// Persistent JSON, stamped with the present second, as AMQP's timestamps have it.
fn properties(kind: &str, id: Option<&RequestId>) -> BasicProperties {
    let now = u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or_default();
    let properties = BasicProperties::default()
        .with_content_type("application/json".into())
        .with_delivery_mode(2)
        .with_timestamp(now)
        .with_type(kind.into());
    match id {
        Some(id) => properties.with_message_id(id.to_string().into()),
        None => properties,
    }
}

fn long_string(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

/// JSON of a value that is made of strings, numbers and JSON already checked.
fn to_json(value: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("strings, numbers and raw JSON always serialise")
}

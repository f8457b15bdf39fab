//! A copy of a request that waits for its next attempt, which the web side keeps meanwhile: should RabbitMQ not bring the
//! request back, the copy is put on the queue in its place.

use super::{ATTEMPT, DEADLINE, Incoming, Outgoing, REPLAY, TRACEPARENT, long_string};
use crate::{request_id::RequestId, topology};
use jiff::Timestamp;
use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldTable},
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The largest body of which a copy is sent, in bytes: the copy goes another way to RabbitMQ and into the record, for each
/// attempt that fails.
const LARGEST_SPARE: usize = 1024 * 1024;

/// What it takes to put a request on the queue once more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spare {
    /// The request's body, as it came.
    pub body: String,
    /// How long the request waits for its next attempt, in milliseconds. A time would be one of another machine's clock.
    pub delay_ms: u64,
    /// The sender's W3C trace context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// When the request is no longer worth beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
}

impl Spare {
    /// Of a request that waits `delay`; `None` for a body of more than 1 MiB.
    #[must_use]
    pub fn of(body: &[u8], came_with: &BasicProperties, delay: Duration) -> Option<Self> {
        let body = std::str::from_utf8(body).ok().filter(|body| body.len() <= LARGEST_SPARE)?.to_owned();
        let incoming = Incoming(came_with);
        Some(Self {
            body,
            delay_ms: u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
            traceparent: incoming.traceparent().map(str::to_owned),
            deadline: incoming.deadline(),
        })
    }

    /// The message that stands in for the one that is missing: attempt `attempt` of replay `replay`.
    #[must_use]
    pub fn to_message(&self, id: &RequestId, attempt: u32, replay: u32) -> Outgoing {
        let mut headers = FieldTable::default();
        headers.insert(ATTEMPT.into(), AMQPValue::LongLongInt(attempt.into()));
        headers.insert(REPLAY.into(), AMQPValue::LongLongInt(replay.into()));
        if let Some(traceparent) = &self.traceparent {
            headers.insert(TRACEPARENT.into(), long_string(traceparent));
        }
        if let Some(deadline) = self.deadline {
            headers.insert(DEADLINE.into(), long_string(&deadline.to_string()));
        }
        let body = self.body.clone().into_bytes();
        Outgoing::passing_on(topology::REQUEST_KEY, "request", id, body).with_headers(headers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::retry;

    #[test]
    fn it_stands_in_for_the_retry_that_is_missing() {
        let id = RequestId::from_text("a").expect("is an id");
        let mut headers = FieldTable::default();
        headers.insert(REPLAY.into(), AMQPValue::LongLongInt(2));
        headers.insert(TRACEPARENT.into(), long_string("00-1"));
        headers.insert(DEADLINE.into(), long_string("1970-01-01T00:01:00Z"));
        let (body, came_with) = (br#"{"requestId":"a"}"#, BasicProperties::default().with_headers(headers));
        let delay = Duration::from_secs(4);
        let retry = retry(&id, body, &came_with, 3, delay);
        let spare = Spare::of(body, &came_with, delay).expect("is small");
        let message = spare.to_message(&id, 3, 2);
        assert_eq!((message.routing_key.as_str(), &message.body), ("request", &retry.body));
        assert_eq!(message.properties.headers(), retry.properties.headers());
        assert_eq!(spare.delay_ms, 4000);
    }

    #[test]
    fn of_a_large_request_there_is_none() {
        let none = BasicProperties::default();
        assert!(Spare::of(&vec![b' '; LARGEST_SPARE], &none, Duration::ZERO).is_some());
        assert_eq!(Spare::of(&vec![b' '; LARGEST_SPARE + 1], &none, Duration::ZERO), None);
    }
}

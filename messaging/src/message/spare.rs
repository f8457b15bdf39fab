//! A copy of a request that waits for its next attempt, which the web side keeps meanwhile: should RabbitMQ not bring the
//! request back, the copy is put on the queue in its place.

use super::{Incoming, Outgoing, VANISHED, is_traceparent, read_id, request::headers_anew};
use crate::{request_id::RequestId, topology};
use jiff::Timestamp;
use lapin::types::AMQPValue;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The largest body of which there is a copy, in bytes: for each attempt that fails it goes another way to RabbitMQ and into
/// the record, and the records' disk has to have room for all that wait.
const LARGEST_SPARE: usize = 64 * 1024;

/// What it takes to put a request on the queue once more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spare {
    /// The request's body, as it came.
    pub body: String,
    /// Which attempt comes next.
    pub attempt: u32,
    /// After how many milliseconds the request is missing if nothing more was heard of it. A time would be one of another
    /// machine's clock.
    pub missed_after_ms: u64,
    /// How often a worker of a classic queue vanished with it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub vanished: u32,
    /// The sender's W3C trace context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// When the request is no longer worth beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Spare {
    /// Of `message`, which brings a request back after `delay` for an attempt that takes `timeout` at most. `None` for a body
    /// of more than 64 KiB.
    ///
    /// The request is not missing before its attempt would have ended: that may have to wait until another one has, and the
    /// event that it has begun can be lost.
    #[must_use]
    pub fn of(message: &Outgoing, delay: Duration, timeout: Duration) -> Option<Self> {
        let body = std::str::from_utf8(&message.body).ok().filter(|body| body.len() <= LARGEST_SPARE)?.to_owned();
        let incoming = Incoming(&message.properties);
        let missed_after = delay.saturating_add(timeout.saturating_mul(2));
        Some(Self {
            body,
            attempt: incoming.attempt(),
            missed_after_ms: u64::try_from(missed_after.as_millis()).unwrap_or(u64::MAX),
            vanished: incoming.vanished(),
            traceparent: incoming.traceparent().map(str::to_owned),
            deadline: incoming.deadline(),
        })
    }

    /// Whether it can be put back for the request `id`, whoever sent it, after its attempt `failed`. The last attempt of a
    /// classic queue's poison is repeated under its own number: of that nobody would hear that it has begun.
    #[must_use]
    pub fn is_of(&self, id: &RequestId, failed: u32) -> bool {
        let is_small = self.body.len() <= LARGEST_SPARE && self.traceparent.as_deref().is_none_or(is_traceparent);
        is_small && self.attempt > failed && read_id(self.body.as_bytes()).is_ok_and(|own| own == *id)
    }

    /// The message that stands in for the one that is missing, of replay `replay`.
    #[must_use]
    pub fn to_message(&self, id: &RequestId, replay: u32) -> Outgoing {
        let mut headers = headers_anew(self.attempt, replay, self.traceparent.as_deref(), self.deadline);
        if self.vanished > 0 {
            headers.insert(VANISHED.into(), AMQPValue::LongLongInt(self.vanished.into()));
        }
        let body = self.body.clone().into_bytes();
        Outgoing::passing_on(topology::REQUEST_KEY, "request", id, body).with_headers(headers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{DEADLINE, REPLAY, TRACEPARENT, alone, long_string, retry};
    use lapin::{BasicProperties, types::FieldTable};

    const BODY: &[u8] = br#"{"requestId":"a","requestData":1}"#;
    const DELAY: Duration = Duration::from_secs(4);
    const TIMEOUT: Duration = Duration::from_secs(300);

    fn id(text: &str) -> RequestId {
        RequestId::from_text(text).expect("is an id")
    }

    #[test]
    fn it_stands_in_for_the_retry_that_is_missing() {
        let mut headers = FieldTable::default();
        headers.insert(REPLAY.into(), AMQPValue::LongLongInt(2));
        headers.insert(TRACEPARENT.into(), long_string("00-1"));
        headers.insert(DEADLINE.into(), long_string("1970-01-01T00:01:00Z"));
        let came_with = BasicProperties::default().with_headers(headers);
        for missing in [retry(&id("a"), BODY, &came_with, 3, DELAY), alone(&id("a"), BODY, &came_with, 2, Some(DELAY))]
        {
            let spare = Spare::of(&missing, DELAY, TIMEOUT).expect("is small");
            assert!(spare.is_of(&id("a"), 1) && !spare.is_of(&id("b"), 1) && !spare.is_of(&id("a"), spare.attempt));
            let message = spare.to_message(&id("a"), 2);
            assert_eq!((message.routing_key.as_str(), &message.body), ("request", &missing.body));
            assert_eq!(message.properties.headers(), missing.properties.headers());
        }
    }

    #[test]
    fn it_is_not_missed_before_another_attempt_and_its_own_would_be_over() {
        let retry = retry(&id("a"), BODY, &BasicProperties::default(), 2, DELAY);
        let after = |timeout| Spare::of(&retry, DELAY, timeout).expect("is small").missed_after_ms;
        assert_eq!(after(TIMEOUT), 604_000);
        assert_eq!(after(Duration::MAX), u64::MAX);
    }

    #[test]
    fn of_a_large_request_there_is_none() {
        let of = |length: usize| {
            let body = vec![b' '; length];
            Spare::of(&retry(&id("a"), &body, &BasicProperties::default(), 2, DELAY), DELAY, TIMEOUT)
        };
        assert!(of(LARGEST_SPARE).is_some() && of(LARGEST_SPARE + 1).is_none());
    }

    #[test]
    fn one_that_would_come_between_the_web_side_and_the_broker_is_none() {
        let retry = retry(&id("a"), BODY, &BasicProperties::default(), 2, DELAY);
        let spare = Spare::of(&retry, DELAY, TIMEOUT).expect("is small");
        let large = Spare { body: " ".repeat(LARGEST_SPARE) + &spare.body, ..spare.clone() };
        let loud = Spare { traceparent: Some("x".repeat(100_000)), ..spare };
        assert!(!large.is_of(&id("a"), 1) && !loud.is_of(&id("a"), 1));
    }
}

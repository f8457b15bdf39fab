//! `failure`: a request that will not be tried again. Its body is the request's own, so that `<exchange>.dead`
//! can be replayed; why it failed travels in headers.

use super::{ATTEMPT, ERROR, Incoming, Outgoing, REASON, REPLAY, long_string};
use crate::{request_id::RequestId, topology};
use lapin::{BasicProperties, types::AMQPValue};
use std::fmt;

/// Why a request was given up. The words are part of the contract: headers, records and metrics use them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureReason {
    /// The handler said that trying again is pointless.
    Rejected,
    /// The last attempt failed too.
    AttemptsExhausted,
    /// The body is no `{requestId, requestData}`.
    Undecodable,
    /// Its deadline or its message's time to live passed before it was begun.
    Expired,
    /// It was delivered too often without an answer: it probably kills its worker.
    DeliveryLimit,
    /// Something else dead-lettered it.
    Other,
}

impl FailureReason {
    /// Every reason.
    pub const ALL: [Self; 6] =
        [Self::Rejected, Self::AttemptsExhausted, Self::Undecodable, Self::Expired, Self::DeliveryLimit, Self::Other];

    /// The fixed word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::AttemptsExhausted => "attempts_exhausted",
            Self::Undecodable => "undecodable",
            Self::Expired => "expired",
            Self::DeliveryLimit => "delivery_limit",
            Self::Other => "other",
        }
    }

    fn from_word(word: &str) -> Self {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word).unwrap_or(Self::Other)
    }
}

impl fmt::Display for FailureReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The longest error text that travels, in bytes: frames of headers are not split, and a record wants a cause, not a log.
const MAX_ERROR_BYTES: usize = 4096;

/// The message of a request that is given up after attempt `attempt`. An undecodable one has no id.
#[must_use]
pub fn failure(
    id: Option<&RequestId>,
    body: &[u8],
    came_with: &BasicProperties,
    attempt: u32,
    reason: FailureReason,
    error: &str,
) -> Outgoing {
    let (incoming, attempt) = (Incoming(came_with), AMQPValue::LongLongInt(attempt.into()));
    let mut headers = incoming.own_headers();
    headers.insert(ATTEMPT.into(), attempt);
    headers.insert(REPLAY.into(), AMQPValue::LongLongInt(incoming.replay().unwrap_or(0).into()));
    headers.insert(REASON.into(), long_string(reason.as_str()));
    headers.insert(ERROR.into(), long_string(shortened(error)));
    let mut properties = super::properties("failure", id).with_headers(headers);
    if let (None, Some(foreign_id)) = (id, came_with.message_id()) {
        properties = properties.with_message_id(foreign_id.clone());
    }
    let routing_key = topology::DEAD_KEY.into();
    Outgoing { routing_key, body: body.to_vec(), properties, mandatory: true, passed_on: true }
}

/// Why the dead letter with these properties was given up: in the processor's words, or in the broker's where
/// it was the broker that gave up. The broker's come first: a dead letter that somebody moved back to the requests by hand
/// still has the processor's earlier ones.
#[must_use]
pub fn failure_reason(properties: &BasicProperties) -> (FailureReason, String) {
    let incoming = Incoming(properties);
    if let Some(death) = incoming.death_reason() {
        let reason = FailureReason::from_word(death);
        return (reason, format!("RabbitMQ gave the request up: {}", explain(death)));
    }
    let reason = FailureReason::from_word(incoming.text(REASON).unwrap_or_default());
    (reason, incoming.text(ERROR).unwrap_or("no error was given").to_owned())
}

fn explain(death: &str) -> &str {
    match death {
        "delivery_limit" => "its workers vanished again and again while they had it (delivery_limit)",
        "expired" => "its message's time to live passed before a worker took it (expired)",
        "rejected" => "a consumer rejected it (rejected)",
        "maxlen" => "the queue was over its length limit (maxlen)",
        other => other,
    }
}

/// As much of an error as travels, 4096 bytes at most, ending on a character's boundary.
#[must_use]
pub fn shortened(error: &str) -> &str {
    let mut end = error.len().min(MAX_ERROR_BYTES);
    while !error.is_char_boundary(end) {
        end -= 1;
    }
    &error[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_tells_why_and_keeps_the_body_for_replay() {
        let id = RequestId::from_text("a").expect("is an id");
        let none = BasicProperties::default();
        let message = failure(Some(&id), b"{body}", &none, 5, FailureReason::AttemptsExhausted, "no luck");
        assert_eq!(message.routing_key, "dead");
        assert_eq!(message.body, b"{body}");
        assert_eq!(failure_reason(&message.properties), (FailureReason::AttemptsExhausted, "no luck".into()));
        let incoming = Incoming(&message.properties);
        assert_eq!((incoming.attempt(), incoming.replay()), (5, Some(0)));
    }

    #[test]
    fn an_error_is_cut_between_characters() {
        let error = "é".repeat(4096);
        let message = failure(None, b"", &BasicProperties::default(), 1, FailureReason::Rejected, &error);
        let (_, kept) = failure_reason(&message.properties);
        assert_eq!(kept.len(), MAX_ERROR_BYTES);
    }

    #[test]
    fn every_reason_reads_back_from_its_word() {
        for reason in
            [FailureReason::Rejected, FailureReason::Expired, FailureReason::Undecodable, FailureReason::Other]
        {
            assert_eq!(FailureReason::from_word(reason.as_str()), reason);
        }
    }
}

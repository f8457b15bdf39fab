//! `request`: work to be done.

use super::{ATTEMPT, DEADLINE, Incoming, Outgoing, REPLAY, TRACEPARENT, VANISHED, long_string, to_json};
use crate::{request_id::RequestId, topology};
use jiff::Timestamp;
use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldTable},
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::time::Duration;

/// The body of a request. Unknown members are ignored: they may be somebody else's.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request<'a> {
    /// Comes back with the result, as it went.
    pub request_id: RequestId,
    /// Any JSON value, kept as it came.
    #[serde(borrow)]
    pub request_data: &'a RawValue,
}

impl Request<'_> {
    /// The message of a new request.
    #[must_use]
    pub fn to_message(&self) -> Outgoing {
        Outgoing::new(topology::REQUEST_KEY, "request", &self.request_id, to_json(self))
    }

    /// The message of a new request that is not worth beginning after `deadline`.
    #[must_use]
    pub fn to_message_until(&self, deadline: Timestamp) -> Outgoing {
        let mut headers = FieldTable::default();
        headers.insert(DEADLINE.into(), long_string(&deadline.to_string()));
        self.to_message().with_headers(headers)
    }
}

/// A request that is to be done once more, though it was given up.
#[derive(Clone, Debug)]
pub struct Replayed {
    /// Its id.
    pub request_id: RequestId,
    /// Which replay of it this is, counted from 1.
    pub replay: u32,
    /// The request's body, as it came.
    pub body: Vec<u8>,
    /// The sender's W3C trace context.
    pub traceparent: Option<String>,
    /// When it is no longer worth beginning.
    pub deadline: Option<Timestamp>,
}

impl Replayed {
    /// Its message: a first attempt again. A deadline that has passed is left out, for the request would only expire
    /// once more; who replays it wants it done.
    #[must_use]
    pub fn to_message(&self, now: Timestamp) -> Outgoing {
        let deadline = self.deadline.filter(|deadline| now < *deadline);
        let headers = headers_anew(1, self.replay, self.traceparent.as_deref(), deadline);
        Outgoing::passing_on(topology::REQUEST_KEY, "request", &self.request_id, self.body.clone())
            .with_headers(headers)
    }
}

/// The headers of a request whose earlier message is gone, and with it what else its sender wrote there.
pub(super) fn headers_anew(
    attempt: u32,
    replay: u32,
    traceparent: Option<&str>,
    deadline: Option<Timestamp>,
) -> FieldTable {
    let mut headers = FieldTable::default();
    headers.insert(ATTEMPT.into(), AMQPValue::LongLongInt(attempt.into()));
    headers.insert(REPLAY.into(), AMQPValue::LongLongInt(replay.into()));
    if let Some(traceparent) = traceparent {
        headers.insert(TRACEPARENT.into(), long_string(traceparent));
    }
    if let Some(deadline) = deadline {
        headers.insert(DEADLINE.into(), long_string(&deadline.to_string()));
    }
    headers
}

/// The same request again, to wait `delay` and then be attempt `attempt`. Keeps body and headers as they came.
#[must_use]
pub fn retry(id: &RequestId, body: &[u8], came_with: &BasicProperties, attempt: u32, delay: Duration) -> Outgoing {
    let mut headers = Incoming(came_with).own_headers();
    headers.insert(ATTEMPT.into(), AMQPValue::LongLongInt(attempt.into()));
    Outgoing::passing_on(topology::retry_key(delay), "request", id, body.to_vec()).with_headers(headers)
}

/// The same request again after its worker vanished with it: to be run with nothing beside it, after `delay` if there is
/// one.
#[must_use]
pub fn alone(
    id: &RequestId,
    body: &[u8],
    came_with: &BasicProperties,
    attempt: u32,
    delay: Option<Duration>,
) -> Outgoing {
    let incoming = Incoming(came_with);
    let mut headers = incoming.own_headers();
    headers.insert(ATTEMPT.into(), AMQPValue::LongLongInt(attempt.into()));
    headers.insert(VANISHED.into(), AMQPValue::LongLongInt(incoming.vanished().saturating_add(1).into()));
    let key = delay.map_or(topology::REQUEST_KEY.into(), topology::retry_key);
    Outgoing::passing_on(key, "request", id, body.to_vec()).with_headers(headers)
}

/// The same request, to be delivered again as if it had never been: for what was taken and not begun.
#[must_use]
pub fn untouched(body: &[u8], came_with: &BasicProperties) -> Outgoing {
    let incoming = Incoming(came_with);
    let mut headers = incoming.own_headers();
    if incoming.vanished() > 0 {
        headers.insert(VANISHED.into(), AMQPValue::LongLongInt(incoming.vanished().into()));
    }
    let mut properties = super::properties("request", None).with_headers(headers);
    if let Some(id) = came_with.message_id() {
        properties = properties.with_message_id(id.clone());
    }
    let routing_key = topology::REQUEST_KEY.into();
    Outgoing { routing_key, body: body.to_vec(), properties, mandatory: true, passed_on: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_is_that_of_the_original_demo() {
        let data: &RawValue = serde_json::from_str(r#"{ "b":1.0, "a":12345678901234567890123 }"#).expect("is JSON");
        let request = Request { request_id: RequestId::from_json("1").expect("is an id"), request_data: data };
        let body = request.to_message().body;
        assert_eq!(body, br#"{"requestId":1,"requestData":{ "b":1.0, "a":12345678901234567890123 }}"#);
        let back: Request<'_> = serde_json::from_slice(&body).expect("reads back");
        assert_eq!(back.request_id, request.request_id);
    }

    #[test]
    fn what_the_broker_delivered_it_takes_again_whatever_its_size() {
        let (id, none) = (RequestId::from_text("a").expect("is an id"), BasicProperties::default());
        let large = vec![b' '; super::super::LARGEST_BODY + 1];
        assert!(!retry(&id, &large, &none, 2, Duration::from_secs(1)).is_too_large());
        assert!(!alone(&id, &large, &none, 2, None).is_too_large());
        assert!(!untouched(&large, &none).is_too_large());
        let data = RawValue::from_string(format!("\"{}\"", "x".repeat(large.len()))).expect("is JSON");
        assert!(Request { request_id: id, request_data: &data }.to_message().is_too_large());
    }

    #[test]
    fn a_retry_counts_its_attempt_and_keeps_the_body() {
        let id = RequestId::from_text("a").expect("is an id");
        let message = retry(&id, b"{}", &BasicProperties::default(), 3, Duration::from_secs(64));
        assert_eq!(message.routing_key, "retry.1m4s");
        assert_eq!(Incoming(&message.properties).attempt(), 3);
        assert_eq!(message.body, b"{}");
    }

    #[test]
    fn a_replay_is_a_first_attempt_that_says_which_replay_it_is_and_has_no_deadline_that_passed() {
        let (id, now) = (RequestId::from_text("a").expect("is an id"), Timestamp::UNIX_EPOCH);
        for (deadline, kept) in [("1970-01-01T00:00:01Z", true), ("1969-12-31T23:59:59Z", false)] {
            let deadline = Some(deadline.parse::<Timestamp>().expect("is a time"));
            let replayed = Replayed {
                request_id: id.clone(),
                replay: 2,
                body: b"{body}".into(),
                traceparent: Some("00-1".into()),
                deadline,
            };
            let message = replayed.to_message(now);
            let incoming = Incoming(&message.properties);
            assert_eq!((message.routing_key.as_str(), message.body.as_slice()), ("request", &b"{body}"[..]));
            assert_eq!((incoming.attempt(), incoming.replay(), incoming.text(TRACEPARENT)), (1, Some(2), Some("00-1")));
            assert_eq!(incoming.deadline(), deadline.filter(|_| kept));
        }
    }

    #[test]
    fn a_retry_stays_in_its_replay() {
        let id = RequestId::from_text("a").expect("is an id");
        let replayed =
            Replayed { request_id: id.clone(), replay: 3, body: b"{}".into(), traceparent: None, deadline: None };
        let came_with = replayed.to_message(Timestamp::UNIX_EPOCH).properties;
        let message = retry(&id, b"{}", &came_with, 2, Duration::from_secs(1));
        let incoming = Incoming(&message.properties);
        assert_eq!((incoming.attempt(), incoming.replay()), (2, Some(3)));
    }

    #[test]
    fn a_request_whose_worker_vanished_says_so_until_it_ran_to_an_end() {
        let (id, none) = (RequestId::from_text("a").expect("is an id"), BasicProperties::default());
        let vanished = |message: &Outgoing| Incoming(&message.properties).vanished();
        let first = alone(&id, b"{}", &none, 2, Some(Duration::from_secs(1)));
        let second = alone(&id, b"{}", &first.properties, 2, None);
        assert_eq!((first.routing_key.as_str(), second.routing_key.as_str()), ("retry.1s", "request"));
        assert_eq!((vanished(&first), vanished(&second)), (1, 2));
        assert_eq!(vanished(&untouched(b"{}", &second.properties)), 2, "it was not begun");
        assert_eq!(vanished(&retry(&id, b"{}", &second.properties, 3, Duration::from_secs(1))), 0);
    }

    #[test]
    fn expiration_and_priority_of_a_foreign_sender_are_dropped_on_retry() {
        let came_with = BasicProperties::default().with_expiration("5".into()).with_priority(9);
        let id = RequestId::from_text("a").expect("is an id");
        let message = retry(&id, b"{}", &came_with, 2, Duration::from_secs(1));
        assert_eq!((message.properties.expiration(), message.properties.priority()), (&None, &None));
    }
}

//! `request`: work to be done.

use super::{ATTEMPT, Incoming, Outgoing, to_json};
use crate::{request_id::RequestId, topology};
use lapin::{BasicProperties, types::AMQPValue};
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
}

/// The same request again, to wait `delay` and then be attempt `attempt`. Keeps body and headers as they came.
#[must_use]
pub fn retry(id: &RequestId, body: &[u8], came_with: &BasicProperties, attempt: u32, delay: Duration) -> Outgoing {
    let mut headers = Incoming(came_with).own_headers();
    headers.insert(ATTEMPT.into(), AMQPValue::LongLongInt(attempt.into()));
    Outgoing::new(topology::retry_key(delay), "request", id, body.to_vec()).with_headers(headers)
}

/// The same request, to be delivered again as if it had never been: for what was taken and not begun.
#[must_use]
pub fn untouched(body: &[u8], came_with: &BasicProperties) -> Outgoing {
    let headers = Incoming(came_with).own_headers();
    let mut properties = super::properties("request", None).with_headers(headers);
    if let Some(id) = came_with.message_id() {
        properties = properties.with_message_id(id.clone());
    }
    Outgoing { routing_key: topology::REQUEST_KEY.into(), body: body.to_vec(), properties, mandatory: true }
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
    fn a_retry_counts_its_attempt_and_keeps_the_body() {
        let id = RequestId::from_text("a").expect("is an id");
        let message = retry(&id, b"{}", &BasicProperties::default(), 3, Duration::from_secs(64));
        assert_eq!(message.routing_key, "retry.1m4s");
        assert_eq!(Incoming(&message.properties).attempt(), 3);
        assert_eq!(message.body, b"{}");
    }

    #[test]
    fn expiration_and_priority_of_a_foreign_sender_are_dropped_on_retry() {
        let came_with = BasicProperties::default().with_expiration("5".into()).with_priority(9);
        let id = RequestId::from_text("a").expect("is an id");
        let message = retry(&id, b"{}", &came_with, 2, Duration::from_secs(1));
        assert_eq!((message.properties.expiration(), message.properties.priority()), (&None, &None));
    }
}

//! From a message of the results queue to what it changes.

use crate::record::{Change, Letter, What};
use jiff::Timestamp;
use lapin::{BasicProperties, message::Delivery};
use warren_messaging::{
    message::{self, Event, Incoming, Progress, ResultBody, failure_reason},
    topology::{DEAD_KEY, EVENT_KEY, RESULT_KEY},
};

/// Why a message could not be read. Its body is not shown: it is the user's data.
#[derive(Debug, thiserror::Error)]
pub(super) enum DecodeError {
    #[error("its body is no JSON with a usable requestId ({0})")]
    Body(#[from] serde_json::Error),
    #[error("nothing on this queue should have the key `{0}`")]
    Key(String),
}

pub(super) fn change(delivery: &Delivery, at: Timestamp) -> Result<Change, DecodeError> {
    read(delivery.routing_key.as_str(), &delivery.properties, &delivery.data, at)
}

/// The routing key decides, not the `type`: what the broker itself dead-letters still says `request`.
pub(super) fn read(key: &str, properties: &BasicProperties, body: &[u8], at: Timestamp) -> Result<Change, DecodeError> {
    let incoming = Incoming(properties);
    let (attempt, replay) = (incoming.attempt(), incoming.replay());
    match key {
        RESULT_KEY => {
            let body: ResultBody<'_> = message::read(body)?;
            let what = What::Succeeded { attempt, result: body.processing_results.to_owned() };
            Ok(Change { id: body.request_id, at, replay, what })
        }
        DEAD_KEY => {
            // The body is the request's own.
            let id = message::read_id(body)?;
            let (reason, error) = failure_reason(properties);
            let traceparent = incoming.traceparent().map(str::to_owned);
            let letter = Letter { body: body.to_vec(), traceparent, deadline: incoming.deadline() };
            // What the broker gave up is a request still, and that means 0 where it says nothing.
            let replay = replay.or(incoming.death_reason().map(|_| 0));
            Ok(Change { id, at, replay, what: What::Failed { attempt, reason, error, letter } })
        }
        EVENT_KEY => Ok(progress(message::read(body)?, at)),
        other => Err(DecodeError::Key(other.to_owned())),
    }
}

fn progress(event: Event, at: Timestamp) -> Change {
    let attempt = event.attempt;
    let what = match event.progress {
        Progress::Started { started_at } => What::Started { attempt, since: started_at },
        Progress::Retrying { error, next_attempt_at: next, spare } => {
            let spare = spare.filter(|spare| spare.is_of(&event.request_id, attempt));
            What::Retrying { attempt, next, error, spare }
        }
    };
    let replay = event.replay.filter(|replay| *replay <= Incoming::MOST_REPLAYS);
    Change { id: event.request_id, at, replay, what }
}

#[cfg(test)]
mod tests {
    use super::*;
    use warren_messaging::{message::FailureReason, request_id::RequestId};

    fn read_back(message: &message::Outgoing) -> Change {
        read(&message.routing_key, &message.properties, &message.body, Timestamp::UNIX_EPOCH).expect("is readable")
    }

    #[test]
    fn a_result_of_the_original_demo_is_read() {
        let body = br#"{"requestId":1,"processingResults":"x-processed"}"#;
        let change = read("result", &BasicProperties::default(), body, Timestamp::UNIX_EPOCH).expect("is readable");
        assert_eq!(change.id.as_json(), "1");
        assert_eq!(change.replay, None, "it may be of any");
        assert!(matches!(change.what, What::Succeeded { attempt: 1, result } if result.get() == "\"x-processed\""));
    }

    #[test]
    fn a_failure_brings_its_reason_and_attempt() {
        let id = RequestId::from_text("a").expect("is an id");
        let (body, none) = (br#"{"requestId":"a","requestData":1}"#, BasicProperties::default());
        let sent = message::failure(Some(&id), body, &none, 5, FailureReason::AttemptsExhausted, "no luck");
        let change = read_back(&sent);
        assert_eq!(change.replay, Some(0));
        let What::Failed { attempt, reason, error, letter } = change.what else { panic!("is a failure") };
        assert_eq!(letter.body, body);
        assert_eq!((attempt, reason, error.as_str()), (5, FailureReason::AttemptsExhausted, "no luck"));
    }

    #[test]
    fn progress_is_read() {
        let id = RequestId::from_text("a").expect("is an id");
        let progress = Progress::Started { started_at: Timestamp::UNIX_EPOCH };
        let change = read_back(&Event { request_id: id, attempt: 2, replay: Some(1), progress }.to_message());
        assert_eq!(change.replay, Some(1));
        assert!(matches!(change.what, What::Started { attempt: 2, .. }));
    }

    #[test]
    fn a_copy_is_kept_only_if_it_is_one_of_the_request() {
        for (own, attempt, is_kept) in [("a", 2, true), ("b", 2, false), ("a", 1, false)] {
            let spare = format!(r#"{{"body":"{{\"requestId\":\"{own}\"}}","attempt":{attempt},"missedAfterMs":1}}"#);
            let body = format!(
                r#"{{"requestId":"a","attempt":1,"event":"retrying","error":"","nextAttemptAt":"2026-01-01T00:00:00Z","spare":{spare}}}"#
            );
            let change = read("event", &BasicProperties::default(), body.as_bytes(), Timestamp::UNIX_EPOCH);
            let What::Retrying { spare, .. } = change.expect("is readable").what else { panic!("is a retry") };
            assert_eq!(spare.is_some(), is_kept, "{own} {attempt}");
        }
    }

    #[test]
    fn an_absurd_replay_counts_as_none() {
        let body = br#"{"requestId":"a","attempt":1,"replay":4294967295,"event":"started","startedAt":"2026-01-01T00:00:00Z"}"#;
        let change = read("event", &BasicProperties::default(), body, Timestamp::UNIX_EPOCH).expect("is readable");
        assert_eq!(change.replay, None);
    }

    #[test]
    fn what_cannot_be_read_is_an_error_without_the_users_data() {
        for (key, body) in [
            ("result", &b"secret"[..]),
            ("result", br#"{"requestId":1.5,"processingResults":"secret"}"#),
            ("result", br#"{"processingResults":"secret"}"#),
            ("dead", b"\xff\xfe"),
            ("event", b"{}"),
            ("request", b"{}"),
        ] {
            let error = read(key, &BasicProperties::default(), body, Timestamp::UNIX_EPOCH).expect_err(key);
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }
}

//! After the handler: what its outcome means for the request.

use super::{
    Action, End, Outcome, Received, Rules, Settlement,
    triage::{dead, later},
};
use jiff::Timestamp;
use serde_json::value::RawValue;
use std::time::Duration;
use warren_messaging::{
    message::{FailureReason, Incoming, LARGEST_BODY, result, retry, shortened},
    request_id::RequestId,
};

/// What to do after the handler's outcome. The acknowledgement always comes last: until then the broker would
/// deliver the request again.
pub(crate) fn settle(
    id: &RequestId,
    received: Received<'_>,
    outcome: Outcome,
    rules: &Rules,
    now: Timestamp,
) -> Settlement {
    match outcome {
        Outcome::Done(results) => done(id, received, &results),
        Outcome::Again { error, retry_after } => {
            again(id, received, shortened(&error).to_owned(), retry_after, rules, now)
        }
        Outcome::Never { error } => dead(Some(id), received, FailureReason::Rejected, shortened(&error).to_owned()),
    }
}

fn done(id: &RequestId, received: Received<'_>, results: &RawValue) -> Settlement {
    let incoming = Incoming(received.properties);
    let message = result(id, results, incoming.attempt(), incoming.replay().unwrap_or(0));
    if message.is_too_large() {
        let size = message.body.len();
        let error = format!(
            "the result has {size} bytes as a message, and RabbitMQ takes at most {LARGEST_BODY}: store it elsewhere and \
             answer where"
        );
        return dead(Some(id), received, FailureReason::Rejected, error);
    }
    Settlement { end: End::Done, actions: vec![Action::Publish(message), Action::Ack], error: None, when_full: None }
}

fn again(
    id: &RequestId,
    received: Received<'_>,
    error: String,
    asked: Option<Duration>,
    rules: &Rules,
    now: Timestamp,
) -> Settlement {
    let incoming = Incoming(received.properties);
    let attempt = incoming.attempt();
    let Some(delay) = rules.retry.tier_after(attempt, asked) else {
        return dead(Some(id), received, FailureReason::AttemptsExhausted, error);
    };
    let message = retry(id, received.body, received.properties, attempt.saturating_add(1), delay);
    later(id, received, delay, message, error, rules, now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::samples::{REQUEST, attempt, rules, short, with};
    use lapin::types::AMQPValue;
    use warren_messaging::{
        message::{Event, Progress, failure_reason},
        topology::QueueType,
    };

    fn after(outcome: Outcome, number: i64) -> Settlement {
        settled(outcome, &attempt(number))
    }

    fn settled(outcome: Outcome, properties: &lapin::BasicProperties) -> Settlement {
        let id = RequestId::from_json("7").expect("is an id");
        let received = Received { body: REQUEST, properties, redelivered: false };
        settle(&id, received, outcome, &rules(3, QueueType::Quorum), Timestamp::UNIX_EPOCH)
    }

    fn published(settlement: &Settlement) -> &warren_messaging::message::Outgoing {
        match &settlement.actions[0] {
            Action::Publish(message) => message,
            other => panic!("first action is {other:?}"),
        }
    }

    #[test]
    fn a_result_is_confirmed_before_the_request_is_acked() {
        let settlement = after(Outcome::done("x"), 2);
        assert_eq!(short(&settlement), ["publish result as attempt 2", "ack"]);
        assert_eq!(published(&settlement).body, br#"{"requestId":7,"processingResults":"x"}"#);
        assert_eq!((settlement.end, settlement.error), (End::Done, None));
    }

    #[test]
    fn a_result_that_rabbitmq_would_not_take_is_a_failure_for_good() {
        let settlement = after(Outcome::done(&"x".repeat(LARGEST_BODY)), 1);
        assert_eq!(short(&settlement), ["publish dead as attempt 1", "ack"]);
        let (reason, error) = failure_reason(&published(&settlement).properties);
        assert_eq!(reason, FailureReason::Rejected);
        assert!(error.contains("at most 16777216"), "{error}");
    }

    #[test]
    fn a_failure_for_now_waits_in_the_attempts_tier_and_is_told_of_after_the_ack() {
        for (number, key) in [(1, "retry.1s"), (2, "retry.4s")] {
            let settlement = after(Outcome::again("busy"), number);
            let retry = format!("publish {key} as attempt {}", number + 1);
            assert_eq!(short(&settlement), [retry.as_str(), "ack", "tell event"]);
            assert_eq!(published(&settlement).body, REQUEST);
        }
    }

    #[test]
    fn the_event_says_when_the_next_attempt_falls_due_and_brings_a_copy() {
        let settlement = after(Outcome::again("busy"), 1);
        let Action::Tell(event) = &settlement.actions[2] else { panic!("{:?}", settlement.actions) };
        let event: Event = serde_json::from_slice(&event.body).expect("reads back");
        let next_attempt_at = Timestamp::from_second(1).expect("is a time");
        assert_eq!(event.attempt, 1);
        let Progress::Retrying { error, next_attempt_at: next, spare } = event.progress else { panic!("{event:?}") };
        assert_eq!((error.as_str(), next), ("busy", next_attempt_at));
        let spare = spare.expect("brings a copy");
        assert_eq!((spare.body.as_bytes(), spare.attempt, spare.missed_after_ms), (REQUEST, 2, 601_000));
    }

    #[test]
    fn a_handlers_wish_for_a_pause_chooses_a_longer_tier() {
        let asked = Outcome::Again { error: "busy".into(), retry_after: Some(Duration::from_secs(60)) };
        assert_eq!(after(asked, 1).end, End::Retry(Duration::from_secs(300)));
    }

    #[test]
    fn a_retry_that_would_begin_after_the_deadline_is_given_up_at_once() {
        let id = RequestId::from_json("7").expect("is an id");
        let due_at = |deadline: &str| {
            let properties = with(&[("x-deadline", AMQPValue::LongString(deadline.into()))]);
            let received = Received { body: REQUEST, properties: &properties, redelivered: false };
            settle(&id, received, Outcome::again("busy"), &rules(3, QueueType::Quorum), Timestamp::UNIX_EPOCH)
        };
        assert_eq!(due_at("1970-01-01T00:00:01Z").end, End::Retry(Duration::from_secs(1)));
        let expired = due_at("1970-01-01T00:00:00.9Z");
        assert_eq!(short(&expired), ["publish dead as attempt 1", "ack"]);
        let (reason, error) = failure_reason(&published(&expired).properties);
        assert_eq!(reason, FailureReason::Expired);
        assert!(error.contains("1970-01-01T00:00:00.9Z") && error.ends_with("the last one: busy"), "{error}");
    }

    #[test]
    fn the_last_attempt_ends_among_the_dead_letters_with_its_error() {
        let settlement = after(Outcome::again("still busy"), 3);
        assert_eq!(short(&settlement), ["publish dead as attempt 3", "ack"]);
        let reason = failure_reason(&published(&settlement).properties);
        assert_eq!(reason, (FailureReason::AttemptsExhausted, "still busy".into()));
    }

    #[test]
    fn a_failure_for_good_is_not_tried_again() {
        let settlement = after(Outcome::never("no such picture"), 1);
        assert_eq!(short(&settlement), ["publish dead as attempt 1", "ack"]);
        let reason = failure_reason(&published(&settlement).properties);
        assert_eq!(reason, (FailureReason::Rejected, "no such picture".into()));
    }

    #[test]
    fn whatever_the_outcome_the_ack_comes_once_and_right_after_the_confirm() {
        for outcome in [Outcome::done(&1), Outcome::again("a"), Outcome::never("b")] {
            for number in 1..5 {
                let actions = short(&after(outcome.clone(), number));
                assert!(actions[0].starts_with("publish "), "{actions:?}");
                assert_eq!(actions[1], "ack", "{actions:?}");
                assert_eq!(actions.iter().filter(|action| *action == "ack").count(), 1, "{actions:?}");
            }
        }
    }

    #[test]
    fn whatever_follows_from_a_replay_says_which_one_it_was() {
        let properties = with(&[("x-replay", AMQPValue::LongLongInt(2))]);
        for outcome in [Outcome::done(&1), Outcome::again("a"), Outcome::never("b")] {
            for action in settled(outcome, &properties).actions {
                let replay = match &action {
                    Action::Publish(message) => Incoming(&message.properties).replay(),
                    Action::Tell(event) => serde_json::from_slice::<Event>(&event.body).expect("reads back").replay,
                    Action::Ack => continue,
                };
                assert_eq!(replay, Some(2), "{action:?}");
            }
        }
    }

    #[test]
    fn an_endless_error_is_cut() {
        let settlement = after(Outcome::again("é".repeat(10_000)), 1);
        assert_eq!(settlement.error.map(|error| error.len()), Some(4096));
    }
}

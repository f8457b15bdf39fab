//! Before the handler: is this a request, is it still wanted, and may it run?

use super::{Action, End, Received, Rules, Settlement};
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;
use warren_messaging::{
    message::{self, Event, FailureReason, Incoming, Outgoing, Progress, Request, Spare, alone, failure, shortened},
    request_id::RequestId,
    topology::QueueType,
};

/// What to do with a delivery first.
#[derive(Debug)]
pub(crate) enum Triage<'a> {
    /// Let the handler work on it.
    Run(Request<'a>),
    /// It leaves without being worked on.
    Settle {
        /// Its id, if it has one.
        id: Option<RequestId>,
        settlement: Settlement,
    },
}

/// Looks at a delivery before it is worked on.
pub(crate) fn triage<'a>(received: Received<'a>, rules: &Rules, now: Timestamp) -> Triage<'a> {
    let request: Request<'a> = match message::read(received.body) {
        Ok(request) => request,
        Err(error) => return undecodable(received, &error),
    };
    let settlement = if let Some(deadline) = Incoming(received.properties).deadline().filter(|end| *end < now) {
        let error = format!("its deadline {deadline} passed before an attempt was begun");
        dead(Some(&request.request_id), received, FailureReason::Expired, error)
    } else if received.redelivered && rules.queue_type == QueueType::Classic {
        vanished(&request.request_id, received, rules, now)
    } else {
        return Triage::Run(request);
    };
    Triage::Settle { id: Some(request.request_id), settlement }
}

/// A body that no attempt will ever make readable.
fn undecodable<'a>(received: Received<'_>, error: &serde_json::Error) -> Triage<'a> {
    let id = message::read_id(received.body).ok();
    let error = format!("the body is no {{\"requestId\": …, \"requestData\": …}}: {error}");
    let settlement = dead(id.as_ref(), received, FailureReason::Undecodable, error);
    Triage::Settle { id, settlement }
}

/// Classic queues count no deliveries: a request that comes back may have killed its worker, and would do so
/// for ever. Each return costs an attempt instead, and the next one is run alone. It is given up only after it vanished
/// alone: before, it may have stood beside the one that did it.
///
/// It waits in a retry tier, which has room when the request queue has none. Without a tier and without room it is given
/// up: given back as it is it would be delivered again at once, and a worker that waited would take nothing meanwhile.
fn vanished(id: &RequestId, received: Received<'_>, rules: &Rules, now: Timestamp) -> Settlement {
    let incoming = Incoming(received.properties);
    let attempt = incoming.attempt();
    let error = "its worker vanished, or lost the connection, while it had the request".to_owned();
    let is_last = attempt >= rules.retry.max_attempts;
    if is_last && incoming.vanished() > 0 {
        return dead(Some(id), received, FailureReason::DeliveryLimit, error);
    }
    let tier = rules.retry.tiers().first().copied();
    let attempt = if is_last { attempt } else { attempt + 1 };
    let message = alone(id, received.body, received.properties, attempt, tier);
    let no_room = format!("{error}; it was not tried once more, alone, because the request queue is full");
    let given_up = || Box::new(dead(Some(id), received, FailureReason::DeliveryLimit, no_room));
    let when_full = tier.is_none().then(given_up);
    Settlement { when_full, ..later(id, received, tier.unwrap_or_default(), message, error, rules, now) }
}

/// Publishes `message`, another attempt that has to wait `delay`, unless nobody will want its result.
pub(super) fn later(
    id: &RequestId,
    received: Received<'_>,
    delay: Duration,
    message: Outgoing,
    error: String,
    rules: &Rules,
    now: Timestamp,
) -> Settlement {
    let incoming = Incoming(received.properties);
    let pause = SignedDuration::try_from(delay).unwrap_or(SignedDuration::MAX);
    let next_attempt_at = now.checked_add(pause).unwrap_or(Timestamp::MAX);
    if let Some(deadline) = incoming.deadline().filter(|deadline| *deadline < next_attempt_at) {
        let error = format!("its deadline {deadline} passes before another attempt can begin; the last one: {error}");
        return dead(Some(id), received, FailureReason::Expired, shortened(&error).to_owned());
    }
    let (attempt, replay) = (incoming.attempt(), Some(incoming.replay().unwrap_or(0)));
    let spare = Spare::of(&message, delay, rules.timeout).filter(|spare| spare.is_of(id, attempt));
    let progress = Progress::Retrying { error: error.clone(), next_attempt_at, spare };
    let event = Event { request_id: id.clone(), attempt, replay, progress };
    // Told last: until the ack, a lost connection makes two of this request.
    let actions = vec![Action::Publish(message), Action::Ack, Action::Tell(event.to_message())];
    Settlement { end: End::Retry(delay), actions, error: Some(error), when_full: None }
}

pub(super) fn dead(id: Option<&RequestId>, received: Received<'_>, reason: FailureReason, error: String) -> Settlement {
    let attempt = Incoming(received.properties).attempt();
    let message = failure(id, received.body, received.properties, attempt, reason, &error);
    let actions = vec![Action::Publish(message), Action::Ack];
    Settlement { end: End::Dead(reason), actions, error: Some(error), when_full: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::samples::{REQUEST, attempt, rules, short, with};
    use lapin::{BasicProperties, types::AMQPValue};

    fn look(body: &[u8], properties: &BasicProperties, redelivered: bool, queue_type: QueueType) -> Option<Settlement> {
        let received = Received { body, properties, redelivered };
        match triage(received, &rules(3, queue_type), Timestamp::UNIX_EPOCH) {
            Triage::Run(_) => None,
            Triage::Settle { settlement, .. } => Some(settlement),
        }
    }

    fn end(body: &[u8], properties: &BasicProperties) -> Option<End> {
        look(body, properties, false, QueueType::Quorum).map(|settlement| settlement.end)
    }

    #[test]
    fn a_foreign_request_without_properties_runs() {
        assert_eq!(end(REQUEST, &BasicProperties::default()), None);
    }

    #[test]
    fn what_is_no_request_goes_to_the_dead_letters_before_it_is_acked() {
        let bodies: [&[u8]; 6] =
            [b"", b"hello", b"\xff\xfe", b"[1]", br#"{"requestId":1.5,"requestData":1}"#, br#"{"requestData":1}"#];
        for body in bodies {
            let settlement = look(body, &BasicProperties::default(), false, QueueType::Quorum).expect("is settled");
            assert_eq!(settlement.end, End::Dead(FailureReason::Undecodable));
            assert_eq!(short(&settlement), ["publish dead as attempt 1", "ack"]);
        }
    }

    #[test]
    fn a_request_without_data_keeps_its_id_for_whoever_waits() {
        let received =
            Received { body: br#"{"requestId":"a"}"#, properties: &BasicProperties::default(), redelivered: false };
        let triage = triage(received, &rules(3, QueueType::Quorum), Timestamp::UNIX_EPOCH);
        assert!(matches!(&triage, Triage::Settle { id: Some(id), .. } if id.to_string() == "a"), "{triage:?}");
    }

    #[test]
    fn a_deadline_that_passed_ends_the_request_unrun() {
        let due = |text: &str| with(&[("x-deadline", AMQPValue::LongString(text.into()))]);
        assert_eq!(end(REQUEST, &due("1969-12-31T23:59:59Z")), Some(End::Dead(FailureReason::Expired)));
        assert_eq!(end(REQUEST, &due("1970-01-01T00:00:01Z")), None);
        assert_eq!(end(REQUEST, &due("soon")), None, "a foreign deadline that cannot be read is none");
    }

    #[test]
    fn a_redelivered_request_runs_where_the_broker_counts_and_costs_an_attempt_where_it_does_not() {
        assert!(look(REQUEST, &attempt(1), true, QueueType::Quorum).is_none());
        let moved = look(REQUEST, &attempt(2), true, QueueType::Classic).expect("is settled");
        assert_eq!(short(&moved), ["publish retry.1s as attempt 3", "ack", "tell event"]);
    }

    #[test]
    fn the_last_attempt_is_given_up_only_after_its_worker_vanished_with_it_alone() {
        let beside_others = look(REQUEST, &attempt(3), true, QueueType::Classic).expect("is settled");
        assert_eq!(short(&beside_others), ["publish retry.1s as attempt 3", "ack", "tell event"]);
        let Action::Publish(again) = &beside_others.actions[0] else { panic!("{beside_others:?}") };
        assert!(look(REQUEST, &again.properties, false, QueueType::Classic).is_none(), "it runs");
        let alone = look(REQUEST, &again.properties, true, QueueType::Classic).expect("is settled");
        assert_eq!(alone.end, End::Dead(FailureReason::DeliveryLimit));
        assert_eq!(short(&alone), ["publish dead as attempt 3", "ack"]);
    }

    #[test]
    fn the_only_attempt_has_no_tier_to_wait_in_and_is_given_up_where_the_request_queue_is_full() {
        let received = Received { body: REQUEST, properties: &attempt(1), redelivered: true };
        let triage = triage(received, &rules(1, QueueType::Classic), Timestamp::UNIX_EPOCH);
        let Triage::Settle { settlement, .. } = triage else { panic!("{triage:?}") };
        assert_eq!(short(&settlement), ["publish request as attempt 1", "ack", "tell event"]);
        let instead = settlement.when_full.expect("has a way out");
        assert_eq!(short(&instead), ["publish dead as attempt 1", "ack"]);
        assert!(instead.error.is_some_and(|error| error.ends_with("the request queue is full")));
    }
}

//! What holds for every delivery and every outcome: something is published, the delivery is acknowledged once, after that.

use super::{Action, End, Received, Rules, Settlement, Triage, samples::rules, settle, triage};
use crate::Outcome;
use jiff::Timestamp;
use proptest::{option, prelude::*};
use std::time::Duration;
use warren_messaging::{message::Incoming, request_id::RequestId, topology::QueueType};
use warren_testkit::inputs;

const REQUESTS: &[&str] = &[
    r#"{"requestId":"0198c0de-0000-7000-8000-000000000000","requestData":{"n": 1.50}}"#,
    r#"{"requestId":1,"requestData":"my data"}"#,
    r#"{"requestId":"a"}"#,
    r#"["a",1]"#,
];

fn outcome() -> impl Strategy<Value = Outcome> {
    let pause = option::of(any::<u64>().prop_map(Duration::from_secs));
    let error = || prop_oneof!["\\PC{0,20}", (0..3000_usize).prop_map(|length| "é".repeat(length))];
    prop_oneof![
        inputs::json().prop_map(|value| Outcome::done(&value)),
        (error(), pause).prop_map(|(error, retry_after)| Outcome::Again { error, retry_after }),
        error().prop_map(|error| Outcome::Never { error }),
    ]
}

fn policy() -> impl Strategy<Value = Rules> {
    let queue_type = prop_oneof![Just(QueueType::Quorum), Just(QueueType::Classic)];
    (1..6_u32, queue_type).prop_map(|(max_attempts, queue_type)| rules(max_attempts, queue_type))
}

/// One thing is confirmed, then the delivery is acknowledged, and nothing after that matters.
fn check(settlement: &Settlement, received: Received<'_>, rules: &Rules) -> Result<(), TestCaseError> {
    let [Action::Publish(message), Action::Ack, told @ ..] = settlement.actions.as_slice() else {
        return Err(TestCaseError::fail(format!("{:?}", settlement.actions)));
    };
    prop_assert!(told.iter().all(|action| matches!(action, Action::Tell(_))));
    prop_assert!(settlement.error.as_ref().is_none_or(|error| error.len() <= 4096));
    let (before, after) = (Incoming(received.properties).attempt(), Incoming(&message.properties).attempt());
    prop_assert!(message.mandatory && after >= before);
    match settlement.end {
        End::Done => prop_assert_eq!(&message.routing_key, "result"),
        End::Dead(_) => prop_assert_eq!(&message.routing_key, "dead"),
        End::Retry(Duration::ZERO) => prop_assert_eq!(&message.routing_key, "request"),
        End::Retry(delay) => {
            prop_assert!(rules.retry.tiers().contains(&delay) && after <= rules.retry.max_attempts.max(before));
            prop_assert!(message.routing_key.starts_with("retry."));
        }
    }
    // Only that queue has a limit, and there must be a way out.
    prop_assert_eq!(settlement.when_full.is_some(), message.routing_key == "request");
    if let Some(instead) = &settlement.when_full {
        check(instead, received, rules)?;
    }
    if settlement.end != End::Done {
        prop_assert_eq!(&message.body, received.body);
    }
    Ok(())
}

proptest! {
    #[test]
    fn every_delivery_is_run_or_settled_and_every_outcome_settles_it(
        body in inputs::bodies(REQUESTS), properties in inputs::properties(), redelivered in any::<bool>(),
        rules in policy(), outcome in outcome(), second in any::<i32>(),
    ) {
        let received = Received { body: &body, properties: &properties, redelivered };
        let now = Timestamp::from_second(second.into()).expect("is a time");
        match triage(received, &rules, now) {
            Triage::Run(request) => {
                check(&settle(&request.request_id, received, outcome, &rules, now), received, &rules)?;
            }
            Triage::Settle { settlement, .. } => check(&settlement, received, &rules)?,
        }
    }

    #[test]
    fn poison_of_a_classic_queue_comes_to_an_end(rules in policy(), properties in inputs::properties()) {
        let rules = Rules { queue_type: QueueType::Classic, ..rules };
        let id = RequestId::from_text("a").expect("is an id");
        let mut properties = properties;
        for _ in 0..=rules.retry.max_attempts + 1 {
            let received = Received { body: br#"{"requestId":"a","requestData":1}"#, properties: &properties, redelivered: true };
            let settlement = match triage(received, &rules, Timestamp::UNIX_EPOCH) {
                Triage::Settle { settlement, .. } => settlement,
                Triage::Run(_) => return Err(TestCaseError::fail(format!("{id} is run though it was redelivered"))),
            };
            let [Action::Publish(message), ..] = settlement.actions.as_slice() else { panic!("{settlement:?}") };
            if let End::Dead(_) = settlement.end {
                return Ok(());
            }
            properties = message.properties.clone();
        }
        prop_assert!(false, "it is tried for ever");
    }
}

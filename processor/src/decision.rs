//! What becomes of a delivery, as plain data: nothing in here waits, publishes or looks at a clock.
//!
//! [`triage`] looks at a delivery before it is worked on, [`settle`] at the handler's outcome after it. Both end
//! in a [`Settlement`]: actions whose order is the promise that nothing is lost.

#[cfg(test)]
mod properties;
mod settle;
mod triage;

pub(crate) use settle::settle;
pub(crate) use triage::{Triage, triage};

use crate::Outcome;
use lapin::BasicProperties;
use std::time::Duration;
use warren_messaging::{
    message::{FailureReason, Outgoing},
    retry::RetryPolicy,
    topology::QueueType,
};

/// What the pipeline says about failures.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    /// When a request is tried again.
    pub(crate) retry: RetryPolicy,
    /// Whether the broker counts deliveries (quorum) or not (classic).
    pub(crate) queue_type: QueueType,
    /// How long one attempt may take.
    pub(crate) timeout: Duration,
}

/// A delivery, as far as decisions need it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Received<'a> {
    pub(crate) body: &'a [u8],
    pub(crate) properties: &'a BasicProperties,
    /// The broker's word that it was delivered before.
    pub(crate) redelivered: bool,
}

/// One step of settling a delivery.
#[derive(Debug)]
pub(crate) enum Action {
    /// Publish, and go on only once the broker has confirmed it.
    Publish(Outgoing),
    /// Publish for information; a loss changes nothing.
    Tell(Outgoing),
    /// Acknowledge the delivery.
    Ack,
}

/// What to do with a delivery, in order.
#[derive(Debug)]
pub(crate) struct Settlement {
    pub(crate) end: End,
    pub(crate) actions: Vec<Action>,
    /// What went wrong, for the log.
    pub(crate) error: Option<String>,
    /// What to do instead where it would go back to the request queue and that is full.
    pub(crate) when_full: Option<Box<Settlement>>,
}

/// How a delivery leaves the worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// With a result.
    Done,
    /// To wait this long for another attempt.
    Retry(Duration),
    /// To the dead letters.
    Dead(FailureReason),
}

#[cfg(test)]
mod samples {
    //! Deliveries and policies for the tests of both rules, and a short form of actions to compare.

    use super::*;
    use lapin::types::{AMQPValue, FieldTable};
    use warren_messaging::message::Incoming;

    pub(crate) const REQUEST: &[u8] = br#"{"requestId":7,"requestData":{"a":1}}"#;

    pub(crate) fn rules(max_attempts: u32, queue_type: QueueType) -> Rules {
        let retry = RetryPolicy { max_attempts, ..RetryPolicy::default() };
        Rules { retry, queue_type, timeout: Duration::from_secs(300) }
    }

    pub(crate) fn with(headers: &[(&str, AMQPValue)]) -> BasicProperties {
        let mut table = FieldTable::default();
        for (name, value) in headers {
            table.insert((*name).into(), value.clone());
        }
        BasicProperties::default().with_headers(table)
    }

    pub(crate) fn attempt(number: i64) -> BasicProperties {
        with(&[("x-attempt", AMQPValue::LongLongInt(number))])
    }

    pub(crate) fn short(settlement: &Settlement) -> Vec<String> {
        settlement.actions.iter().map(short_action).collect()
    }

    fn short_action(action: &Action) -> String {
        match action {
            Action::Publish(message) => {
                format!("publish {} as attempt {}", message.routing_key, Incoming(&message.properties).attempt())
            }
            Action::Tell(message) => format!("tell {}", message.routing_key),
            Action::Ack => "ack".into(),
        }
    }
}

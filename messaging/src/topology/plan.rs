//! From what a pipeline wants to what RabbitMQ must hold. Pure; the arguments follow what was tried on
//! RabbitMQ 3.10, 4.0 and 4.3.

use super::{DEAD_KEY, DELIVERY_LIMIT, EVENT_KEY, QueueType, REQUEST_KEY, RESULT_KEY, Topology, retry_key};
use lapin::types::{AMQPValue, FieldTable};
use std::{fmt, time::Duration};

/// Everything that a pipeline needs on the broker, in the order in which it must be declared: whatever is
/// dead-lettered or retried finds its destination already there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopologyPlan {
    /// A durable direct exchange.
    pub exchange: String,
    /// The queues, all durable.
    pub queues: Vec<QueuePlan>,
}

/// One durable queue and the keys that lead to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuePlan {
    /// The queue's name.
    pub name: String,
    /// Its `x-…` arguments, in the order in which they are written here.
    pub arguments: Vec<(&'static str, Argument)>,
    /// Routing keys that bind it to the exchange.
    pub keys: Vec<String>,
    /// Routing keys that an earlier plan may have bound and this one does not want.
    pub stale_keys: Vec<String>,
    /// The queue that gets a copy of what `keys` lead here.
    pub shadow: Option<Shadow>,
}

/// A queue that is bound by another one's keys, but never without it: bound after it, unbound before it. Otherwise a
/// mandatory publish would be confirmed although only the copy was kept, and a retry that falls due would end there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shadow {
    /// Its name.
    pub queue: String,
    /// Whether it is bound at all; one that is not may be left of an earlier plan.
    pub wanted: bool,
}

/// The value of a queue argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Argument {
    /// A word, such as a queue type.
    Text(String),
    /// A number, such as a limit.
    Number(i64),
}

impl fmt::Display for Argument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => write!(f, "{number}"),
        }
    }
}

impl From<&str> for Argument {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl QueuePlan {
    /// Whether it is a stream: what is read from it stays in it, and it never gets empty.
    #[must_use]
    pub fn is_stream(&self) -> bool {
        self.arguments.contains(&("x-queue-type", "stream".into()))
    }

    /// The arguments as AMQP carries them.
    #[must_use]
    pub fn field_table(&self) -> FieldTable {
        let mut table = FieldTable::default();
        for (name, argument) in &self.arguments {
            let value = match argument {
                Argument::Text(text) => AMQPValue::LongString(text.as_str().into()),
                Argument::Number(number) => AMQPValue::LongLongInt(*number),
            };
            table.insert((*name).into(), value);
        }
        table
    }
}

impl TopologyPlan {
    /// The queue of this name.
    #[must_use]
    pub fn queue(&self, name: &str) -> Option<&QueuePlan> {
        self.queues.iter().find(|queue| queue.name == name)
    }
}

impl Topology {
    /// What the broker must hold for this pipeline.
    #[must_use]
    pub fn plan(&self) -> TopologyPlan {
        let mut queues = vec![self.dead_queue(), self.results_queue(), self.requests_queue()];
        queues.extend(self.retry.tiers().into_iter().map(|delay| self.retry_queue(delay)));
        // Last: where RabbitMQ knows no streams, declaring one ends the connection.
        queues.extend(self.journal_queue());
        TopologyPlan { exchange: self.exchange.clone(), queues }
    }

    /// Kept for replay, so never limited: a dead letter that finds no room would block the ones behind it.
    fn dead_queue(&self) -> QueuePlan {
        QueuePlan {
            name: self.dead(),
            arguments: endless_quorum(),
            keys: vec![DEAD_KEY.into()],
            stale_keys: Vec::new(),
            shadow: None,
        }
    }

    /// Never limited either: a result that is refused would have been worked for in vain.
    fn results_queue(&self) -> QueuePlan {
        let own = [DEAD_KEY, EVENT_KEY].map(str::to_owned).to_vec();
        let (own, stale_keys) = if self.web_managed { (own, Vec::new()) } else { (Vec::new(), own) };
        QueuePlan {
            name: self.results(),
            arguments: match self.queue_type {
                QueueType::Quorum => endless_quorum(),
                QueueType::Classic => Vec::new(),
            },
            keys: [vec![RESULT_KEY.to_owned()], own].concat(),
            stale_keys,
            shadow: None,
        }
    }

    fn requests_queue(&self) -> QueuePlan {
        let mut arguments = match self.queue_type {
            QueueType::Quorum => {
                let mut arguments = self.dead_lettering_to(DEAD_KEY);
                arguments.push(("x-delivery-limit", Argument::Number(DELIVERY_LIMIT)));
                arguments
            }
            QueueType::Classic => Vec::new(),
        };
        if let Some(limit) = self.max_length {
            arguments.push(("x-max-length", Argument::Number(i64::try_from(limit).unwrap_or(i64::MAX))));
            if self.queue_type == QueueType::Classic {
                arguments.push(("x-overflow", "reject-publish".into()));
            }
        }
        QueuePlan {
            name: self.requests(),
            arguments,
            keys: vec![REQUEST_KEY.into()],
            stale_keys: Vec::new(),
            shadow: Some(self.shadow_of_requests()),
        }
    }

    /// Those of the tiers for `before` that the policy no longer has: [`super::remove::retire`] them.
    #[must_use]
    pub fn obsolete_tiers(&self, before: &[Duration]) -> Vec<Duration> {
        let wanted = self.retry.tiers();
        before.iter().copied().filter(|delay| !wanted.contains(delay)).collect()
    }

    /// The tier where requests wait out `delay`. A quorum queue for classic pipelines too: a classic one dead-letters
    /// at most once, so a retry that falls due while the request queue is away would be lost.
    #[must_use]
    pub fn retry_queue(&self, delay: Duration) -> QueuePlan {
        let mut arguments = self.dead_lettering_to(REQUEST_KEY);
        let millis = i64::try_from(delay.as_millis()).unwrap_or(i64::MAX);
        arguments.push(("x-message-ttl", Argument::Number(millis)));
        QueuePlan {
            name: self.retry_tier(delay),
            arguments,
            keys: vec![retry_key(delay)],
            stale_keys: Vec::new(),
            shadow: None,
        }
    }

    /// At-least-once dead-lettering. Without reject-publish the broker falls back to at-most-once, silently.
    fn dead_lettering_to(&self, key: &str) -> Vec<(&'static str, Argument)> {
        vec![
            ("x-queue-type", "quorum".into()),
            ("x-dead-letter-exchange", Argument::Text(self.exchange.clone())),
            ("x-dead-letter-routing-key", key.into()),
            ("x-dead-letter-strategy", "at-least-once".into()),
            ("x-overflow", "reject-publish".into()),
        ]
    }
}

/// A quorum queue that never gives a message up. Since 4.0 the broker drops a message after 20 deliveries unless
/// told otherwise, which a reader that is restarted often enough would turn into a lost result; "unlimited" is
/// -1 there, but on 3.10 that means none at all. So: more deliveries than will ever happen.
fn endless_quorum() -> Vec<(&'static str, Argument)> {
    vec![("x-queue-type", "quorum".into()), ("x-delivery-limit", Argument::Number(i32::MAX.into()))]
}

#[cfg(test)]
mod tests {
    use super::{super::Journal, *};
    use crate::retry::RetryPolicy;

    fn names(plan: &TopologyPlan) -> Vec<&str> {
        plan.queues.iter().map(|queue| queue.name.as_str()).collect()
    }

    fn argument<'a>(plan: &'a TopologyPlan, queue: &str, name: &str) -> Option<&'a Argument> {
        plan.queue(queue)?.arguments.iter().find(|(candidate, _)| *candidate == name).map(|(_, value)| value)
    }

    #[test]
    fn the_pipeline_processing_has_the_original_demos_names() {
        let plan = Topology::named("processing").plan();
        assert_eq!(plan.exchange, "processing");
        assert_eq!(names(&plan)[..3], ["processing.dead", "processing.results", "processing.requests"]);
        assert_eq!(
            names(&plan)[3..],
            [
                "processing.retry.1s",
                "processing.retry.4s",
                "processing.retry.16s",
                "processing.retry.1m4s",
                "processing.retry.5m",
            ]
        );
    }

    #[test]
    fn a_classic_pipeline_declares_requests_and_results_as_plainly_as_the_original_demo() {
        let plan = Topology { queue_type: QueueType::Classic, ..Topology::named("p") }.plan();
        for queue in &plan.queues[1..3] {
            assert_eq!(queue.arguments, [], "{}", queue.name);
        }
        assert_eq!(argument(&plan, "p.retry.1s", "x-queue-type"), Some(&"quorum".into()));
    }

    #[test]
    fn every_queue_that_dead_letters_at_least_once_rejects_publishes_when_full() {
        let plan = Topology { max_length: Some(7), ..Topology::named("p") }.plan();
        for queue in &plan.queues {
            let strategy = argument(&plan, &queue.name, "x-dead-letter-strategy");
            let overflow = argument(&plan, &queue.name, "x-overflow");
            assert_eq!(strategy.is_some(), overflow.is_some(), "{}", queue.name);
        }
        assert_eq!(argument(&plan, "p.requests", "x-max-length"), Some(&Argument::Number(7)));
        assert_eq!(argument(&plan, "p.requests", "x-delivery-limit"), Some(&Argument::Number(20)));
    }

    #[test]
    fn no_queue_that_is_read_relies_on_the_brokers_own_delivery_limit() {
        let plan = Topology::named("p").plan();
        for queue in ["p.dead", "p.results", "p.requests"] {
            assert!(argument(&plan, queue, "x-delivery-limit").is_some(), "{queue}");
        }
    }

    #[test]
    fn a_foreign_web_side_gets_results_alone() {
        let plan = Topology { web_managed: false, ..Topology::named("p") }.plan();
        assert_eq!(plan.queues[1].keys, ["result"]);
        assert_eq!(plan.queues[1].stale_keys, ["dead", "event"]);
        assert_eq!(Topology::named("p").plan().queues[1].keys, ["result", "dead", "event"]);
    }

    #[test]
    fn a_journal_is_a_stream_that_the_request_queue_is_copied_to() {
        let journal = Journal { retention: Duration::from_secs(7 * 86_400), max_bytes: 10 << 30 };
        let topology = Topology { journal: Some(journal), ..Topology::named("p") };
        let plan = topology.plan();
        assert_eq!(names(&plan).last(), Some(&"p.journal"));
        assert!(plan.queue("p.journal").is_some_and(|queue| queue.is_stream() && queue.keys.is_empty()));
        assert_eq!(argument(&plan, "p.journal", "x-max-age"), Some(&"7D".into()));
        let shadow = |plan: &TopologyPlan| plan.queue("p.requests").and_then(|queue| queue.shadow.clone());
        assert_eq!(shadow(&plan), Some(Shadow { queue: "p.journal".into(), wanted: true }));
        assert_eq!(topology.former_journal(), None);

        let without = Topology::named("p");
        assert_eq!(shadow(&without.plan()), Some(Shadow { queue: "p.journal".into(), wanted: false }));
        assert_eq!(without.former_journal().map(|queue| queue.name), Some("p.journal".into()));
    }

    #[test]
    fn a_tier_is_obsolete_when_the_policy_no_longer_has_its_delay() {
        let before = [Duration::from_secs(1), Duration::from_secs(7)];
        assert_eq!(Topology::named("p").obsolete_tiers(&before), [Duration::from_secs(7)]);
    }

    #[test]
    fn without_retries_there_are_no_tiers() {
        let retry = RetryPolicy { max_attempts: 1, ..RetryPolicy::default() };
        assert_eq!(names(&Topology { retry, ..Topology::named("p") }.plan()).len(), 3);
    }
}

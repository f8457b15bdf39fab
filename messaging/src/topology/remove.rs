//! Takes away what is no longer wanted: a retry tier, or all of a pipeline.

use super::{
    DeclareError, Object, QueuePlan, Topology, TopologyPlan,
    check::{Counts, survey},
    migrate::{ROUTED, delete_empty},
    object::{bind, counts, delete_queue, delete_unused_exchange, unbind},
};
use crate::journal;
use lapin::Connection;
use std::time::Duration;

/// How long a retry tier must have been empty before it is deleted. A retry that fell due while the request queue was
/// full or unbound is in no count, and is offered again every 180 s (RabbitMQ's
/// `dead_letter_worker_publisher_confirm_timeout`): this is three offers.
pub const QUIET: Duration = Duration::from_secs(600);

/// How far the retirement of a retry tier is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retirement {
    /// It does not exist, or no longer.
    Gone,
    /// Retries wait in it. They come back by themselves: call again.
    NotEmpty {
        /// How many.
        ready: u32,
    },
    /// It is unbound and looks empty, though not for [`QUIET`] yet.
    Empty,
}

/// One step of removing the tier for `delay`, which the pipeline's policy no longer has
/// ([`Topology::obsolete_tiers`]); call it again until it is [`Retirement::Gone`]. The tier loses its binding at once,
/// so call it when the processors with the old policy are gone, whose retries it would return; it is deleted when it is
/// empty and, as far as the caller knows, was so for [`QUIET`].
///
/// Start counting `empty_for` at the first [`Retirement::Empty`], and anew after anything else and whenever the request
/// queue was full, missing or unbound.
///
/// # Errors
/// See [`DeclareError`].
pub async fn retire(
    connection: &Connection,
    topology: &Topology,
    delay: Duration,
    empty_for: Duration,
) -> Result<Retirement, DeclareError> {
    let tier = topology.retry_queue(delay);
    if counts(connection, &tier).await?.is_none() {
        return Ok(Retirement::Gone);
    }
    unbind(connection, &topology.exchange, &tier).await?;
    match counts(connection, &tier).await?.unwrap_or_default().ready {
        0 if empty_for < QUIET => Ok(Retirement::Empty),
        0 => delete_empty(connection, &tier).await.map(|()| Retirement::Gone),
        ready => Ok(Retirement::NotEmpty { ready }),
    }
}

/// When a deleted pipeline's exchange and queues are removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// When nothing would be lost by it.
    IfEmpty,
    /// With all the messages in them.
    Always,
}

/// What became of a pipeline's exchange and queues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removed {
    /// No queue is left, nor the exchange, unless others have bound something to it.
    Gone,
    /// Likewise, but for this stream: a journal that is not empty. Nobody waits for what is in it, so it keeps no other
    /// queue; and it is not empty, so it stays.
    JournalLeft(String),
    /// All is as it was, bound, since these queues hold messages or have consumers.
    Kept(Vec<(String, Counts)>),
}

/// Removes what `plan` names. What is missing counts as removed.
///
/// The queues go in the reverse order of their declaration, each before the ones that it dead-letters into, so that
/// until the end every outcome finds its queue. The exchange goes last, unless somebody else has bound a queue or an
/// exchange to it: then it stays, for it is theirs as well. Retired tiers that were not empty are not in the plan, nor is
/// a journal that the spec no longer has; add them ([`Topology::retry_queue`], [`Topology::former_journal`]).
///
/// [`Removal::IfEmpty`] looks first, then takes the bindings away, looks again, and only deletes what was empty and
/// without consumers both times; stop the workers before and call again until it is [`Removed::Gone`]. A journal is not
/// waited for: if it is not empty, it is left behind alone. It cannot see
/// what a classic queue's cancelled consumer still works on (wait until the workers are gone), nor retries that fell
/// due while the request queue was full and that the broker offers anew within three minutes.
///
/// # Errors
/// See [`DeclareError`]; what was removed before the error stays so, and a further call goes on.
pub async fn remove(connection: &Connection, plan: &TopologyPlan, removal: Removal) -> Result<Removed, DeclareError> {
    let mut left = None;
    if removal == Removal::IfEmpty {
        let found = vacate(connection, plan).await?;
        let busy = busy(plan, &found);
        if !busy.is_empty() {
            return Ok(Removed::Kept(busy));
        }
        left = journal_with_requests(connection, plan, &found).await?;
    }
    for queue in plan.queues.iter().rev().filter(|queue| Some(&queue.name) != left.as_ref()) {
        match removal {
            Removal::IfEmpty => delete_empty(connection, queue).await?,
            Removal::Always => delete_queue(connection, queue).await.map(drop)?,
        }
    }
    delete_exchange(connection, &plan.exchange).await?;
    Ok(left.map_or(Removed::Gone, Removed::JournalLeft))
}

/// Unbinds every queue if all are idle, and tells how they are then. If one is not, all are bound, even if a former call
/// was cut off after it had unbound them.
async fn vacate(connection: &Connection, plan: &TopologyPlan) -> Result<Vec<(String, Option<Counts>)>, DeclareError> {
    let mut found = look(connection, plan).await?;
    if busy(plan, &found).is_empty() {
        for queue in &plan.queues {
            unbind(connection, &plan.exchange, queue).await?;
        }
        tokio::time::sleep(ROUTED).await;
        found = look(connection, plan).await?;
    }
    if !busy(plan, &found).is_empty() {
        for (queue, _) in plan.queues.iter().zip(&found).filter(|(_, (_, counts))| counts.is_some()) {
            bind(connection, &plan.exchange, queue).await?;
        }
    }
    Ok(found)
}

async fn look(connection: &Connection, plan: &TopologyPlan) -> Result<Vec<(String, Option<Counts>)>, DeclareError> {
    let all = || Object::Queue(format!("{}.*", plan.exchange));
    survey(connection, plan).await.map_err(|error| DeclareError::of(all(), error))
}

/// The queues that hold something or are consumed; `found` is in the plan's order.
fn busy(plan: &TopologyPlan, found: &[(String, Option<Counts>)]) -> Vec<(String, Counts)> {
    let queues = plan.queues.iter().zip(found).filter(|(queue, _)| !queue.is_stream());
    let existing = queues.filter_map(|(_, (queue, counts))| Some((queue.clone(), (*counts)?)));
    existing.filter(|(_, counts)| !counts.is_idle()).collect()
}

/// The journal, if it holds anything.
async fn journal_with_requests(
    connection: &Connection,
    plan: &TopologyPlan,
    found: &[(String, Option<Counts>)],
) -> Result<Option<String>, DeclareError> {
    let mut streams =
        plan.queues.iter().zip(found).filter(|(queue, (_, counts))| queue.is_stream() && counts.is_some());
    let Some((QueuePlan { name, .. }, _)) = streams.next() else { return Ok(None) };
    let holds_any = journal::holds_any(connection, name).await.map_err(|error| DeclareError::unseen(name, error))?;
    Ok(holds_any.then(|| name.clone()))
}

async fn delete_exchange(connection: &Connection, exchange: &str) -> Result<(), DeclareError> {
    match delete_unused_exchange(connection, exchange).await {
        Err(DeclareError::Inequivalent { broker, .. }) => {
            tracing::info!(exchange, "the exchange stays, others have bound to it ({broker})");
            Ok(())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Journal, *};
    use crate::retry::RetryPolicy;

    #[test]
    fn a_queue_is_busy_with_a_message_or_a_consumer_and_neither_a_missing_one_nor_a_journal_is() {
        let journal = Some(Journal { retention: Duration::from_secs(60), max_bytes: 1 });
        let plan = Topology { retry: RetryPolicy::none(), journal, ..Topology::named("p") }.plan();
        let found = |ready, consumers| Some(Counts { ready, consumers });
        let counts = [found(0, 1), None, found(1, 0), found(7, 1)];
        let found: Vec<_> = plan.queues.iter().map(|queue| queue.name.clone()).zip(counts).collect();
        assert_eq!(found.len(), plan.queues.len());
        assert_eq!(busy(&plan, &found).into_iter().map(|(name, _)| name).collect::<Vec<_>>(), ["p.dead", "p.requests"]);
    }
}

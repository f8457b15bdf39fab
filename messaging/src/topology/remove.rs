//! Takes away what is no longer wanted: a retry tier, or all of a pipeline.

use super::{
    DeclareError, Object, Topology, TopologyPlan,
    check::{Counts, survey},
    migrate::{ROUTED, delete_empty},
    object::{bind, counts, delete_queue, delete_unused_exchange, unbind},
};
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
    /// All is as it was, bound, since these queues hold messages or have consumers.
    Kept(Vec<(String, Counts)>),
}

/// Removes what `plan` names. What is missing counts as removed.
///
/// The queues go in the reverse order of their declaration, each before the ones that it dead-letters into, so that
/// until the end every outcome finds its queue. The exchange goes last, unless somebody else has bound a queue or an
/// exchange to it: then it stays, for it is theirs as well. Retired tiers that were not empty are not in the plan; add
/// them ([`Topology::retry_queue`]).
///
/// [`Removal::IfEmpty`] looks first, then takes the bindings away, looks again, and only deletes what was empty and
/// without consumers both times; stop the workers before and call again until it is [`Removed::Gone`]. It cannot see
/// what a classic queue's cancelled consumer still works on (wait until the workers are gone), nor retries that fell
/// due while the request queue was full and that the broker offers anew within three minutes.
///
/// # Errors
/// See [`DeclareError`]; what was removed before the error stays so, and a further call goes on.
pub async fn remove(connection: &Connection, plan: &TopologyPlan, removal: Removal) -> Result<Removed, DeclareError> {
    if removal == Removal::IfEmpty {
        let busy = vacate(connection, plan).await?;
        if !busy.is_empty() {
            return Ok(Removed::Kept(busy));
        }
    }
    for queue in plan.queues.iter().rev() {
        match removal {
            Removal::IfEmpty => delete_empty(connection, queue).await?,
            Removal::Always => delete_queue(connection, queue).await.map(drop)?,
        }
    }
    delete_exchange(connection, &plan.exchange).await?;
    Ok(Removed::Gone)
}

/// Unbinds every queue if all are idle, and tells which are not. Then all are bound, even if a former call was cut off
/// after it had unbound them.
async fn vacate(connection: &Connection, plan: &TopologyPlan) -> Result<Vec<(String, Counts)>, DeclareError> {
    let mut found = look(connection, plan).await?;
    if busy(&found).is_empty() {
        for queue in &plan.queues {
            unbind(connection, &plan.exchange, queue).await?;
        }
        tokio::time::sleep(ROUTED).await;
        found = look(connection, plan).await?;
    }
    let busy = busy(&found);
    if !busy.is_empty() {
        for (queue, _) in plan.queues.iter().zip(&found).filter(|(_, (_, counts))| counts.is_some()) {
            bind(connection, &plan.exchange, queue).await?;
        }
    }
    Ok(busy)
}

async fn look(connection: &Connection, plan: &TopologyPlan) -> Result<Vec<(String, Option<Counts>)>, DeclareError> {
    let all = || Object::Queue(format!("{}.*", plan.exchange));
    survey(connection, plan).await.map_err(|error| DeclareError::of(all(), error))
}

/// The queues that hold something or are consumed.
fn busy(found: &[(String, Option<Counts>)]) -> Vec<(String, Counts)> {
    let existing = found.iter().filter_map(|(queue, counts)| Some((queue.clone(), (*counts)?)));
    existing.filter(|(_, counts)| !counts.is_idle()).collect()
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
    use super::*;

    #[test]
    fn a_queue_is_busy_with_a_message_or_a_consumer_and_a_missing_one_is_not() {
        let found = |ready, consumers| Some(Counts { ready, consumers });
        let queues = [("a", found(0, 0)), ("b", None), ("c", found(1, 0)), ("d", found(0, 1))];
        let queues = queues.map(|(name, counts)| (name.to_owned(), counts));
        assert_eq!(busy(&queues).into_iter().map(|(name, _)| name).collect::<Vec<_>>(), ["c", "d"]);
    }
}

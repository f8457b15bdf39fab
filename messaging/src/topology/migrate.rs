//! Gives a queue other arguments, which RabbitMQ cannot do in place: once it is empty, it is deleted and declared anew.

use super::{
    DeclareError, QueuePlan,
    check::Counts,
    object::{bind, counts, declare_queue, delete_queue, unbind},
};
use lapin::Connection;
use std::time::Duration;

/// How long a message may take from its exchange into the queue. A publish that was routed just before the bindings
/// went must be counted before the queue is deleted; milliseconds, on a broker that is not overloaded.
pub(super) const ROUTED: Duration = Duration::from_secs(1);

/// How far a queue's migration is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Migration {
    /// The queue is there as planned, and bound.
    Done,
    /// It holds messages and stays as it was, bound: let the workers empty it.
    NotEmpty {
        /// How many wait.
        ready: u32,
    },
    /// It is empty and unbound, so that a submit is refused rather than lost, but still consumed: stop the workers and
    /// call again. Whoever gives up instead must bind it again ([`super::declare`] does, once the plan agrees with the
    /// queue).
    InUse {
        /// How many consumers it has.
        consumers: u32,
    },
}

/// One step of bringing `queue` to the planned arguments; call it again until it is [`Migration::Done`]. Takes about a
/// second when the queue is empty, and changes nothing when the queue is as planned already.
///
/// While this is under way nothing that was confirmed is lost: without bindings a mandatory publish is returned, and a
/// retry that falls due is kept by its tier and offered again within three minutes. What remains:
///
/// - Quorum queues refuse `if-empty` and `if-unused` by closing the connection, so looking and deleting are two steps.
///   Between them a message can only come past the pipeline's bindings: by queue name, or by a binding of somebody
///   else's. If it does, the log says so.
/// - Dead letters that the queue could not hand over yet are in no count and are deleted with it. They exist only while
///   neither `<exchange>.dead` nor `<exchange>.results` is there, so declare those before.
/// - A classic queue does not count what a cancelled consumer still works on: wait until the workers are gone, not only
///   until they stop consuming.
/// - While `<exchange>.results` or `<exchange>.dead` is the one without bindings, the key `dead` leads to the other
///   alone, unnoticed: stop the processors first.
///
/// # Errors
/// See [`DeclareError`]. If the queue was deleted and could not be declared, the next declaration makes it.
pub async fn migrate(connection: &Connection, exchange: &str, queue: &QueuePlan) -> Result<Migration, DeclareError> {
    match declare_queue(connection, exchange, queue).await {
        Err(DeclareError::Inequivalent { .. }) => {}
        other => return other.map(|_| Migration::Done),
    }
    let mut found = counts(connection, queue).await?.unwrap_or_default();
    if found.ready == 0 {
        unbind(connection, exchange, queue).await?;
        tokio::time::sleep(ROUTED).await;
        found = counts(connection, queue).await?.unwrap_or_default();
    }
    match blocked_by(found) {
        None => replace(connection, exchange, queue).await?,
        Some(Migration::NotEmpty { .. }) => bind(connection, exchange, queue).await?,
        Some(_) => {}
    }
    Ok(blocked_by(found).unwrap_or(Migration::Done))
}

/// What keeps a queue with these counts from being deleted.
fn blocked_by(found: Counts) -> Option<Migration> {
    match found {
        Counts { ready: 1.., .. } => Some(Migration::NotEmpty { ready: found.ready }),
        Counts { consumers: 1.., .. } => Some(Migration::InUse { consumers: found.consumers }),
        Counts { ready: 0, consumers: 0 } => None,
    }
}

async fn replace(connection: &Connection, exchange: &str, queue: &QueuePlan) -> Result<(), DeclareError> {
    delete_empty(connection, queue).await?;
    declare_queue(connection, exchange, queue).await.map(drop)
}

/// Deletes a queue that was just seen empty.
pub(super) async fn delete_empty(connection: &Connection, queue: &QueuePlan) -> Result<(), DeclareError> {
    let lost = delete_queue(connection, queue).await?;
    if lost > 0 {
        let queue = &queue.name;
        tracing::error!(queue, lost, "messages came into a queue without bindings while it was deleted; they are lost");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_weigh_more_than_consumers_and_either_keeps_the_queue() {
        let blocked = |ready, consumers| blocked_by(Counts { ready, consumers });
        assert_eq!(blocked(2, 1), Some(Migration::NotEmpty { ready: 2 }));
        assert_eq!(blocked(0, 3), Some(Migration::InUse { consumers: 3 }));
        assert_eq!(blocked(0, 0), None);
    }
}

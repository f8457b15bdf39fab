//! Makes the broker hold a plan. Only the operator and `local` do this; workers look ([`super::check`]).

pub use super::DeclareError;

use super::{Object, QueuePlan, TopologyPlan, object};
use crate::link::{open_channel, pipelined};
use lapin::{Channel, Connection};

/// What declaring changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Declared {
    /// What was missing and is there now: `exchange p`, `queue p.requests`, … Bindings cannot be looked at over
    /// AMQP: a missing one is bound again without a word.
    pub created: Vec<String>,
}

/// Declares exchange, queues and bindings. What exists already, as planned, is left as it is; nothing is ever
/// deleted. Cheap when all is there, so that it can be called every few seconds: a handful of round trips, whatever
/// the number of queues.
///
/// The bindings of a queue that exists with other arguments are not touched: [`super::migrate`] does that.
///
/// # Errors
/// The first refusal, see [`DeclareError`]. A refused queue does not keep the others from being declared.
pub async fn declare(connection: &Connection, plan: &TopologyPlan) -> Result<Declared, DeclareError> {
    if all_at_once(connection, plan).await.is_ok() {
        return Ok(Declared::default());
    }
    // Something is missing or refused: which, only one by one tells.
    one_by_one(connection, plan).await
}

/// On one channel, without a wait in between: if all exists, the order does not matter. Only the bindings wait until
/// no queue was refused, lest a queue be bound that [`super::migrate`] has just unbound.
async fn all_at_once(connection: &Connection, plan: &TopologyPlan) -> lapin::Result<()> {
    let channel = open_channel(connection).await?;
    object::confirm_exchange_on(&channel, &plan.exchange).await?;
    pipelined(plan.queues.iter().map(|queue| object::confirm_queue_on(&channel, queue)).collect()).await?;
    let (queues, exchange) = (&plan.queues, plan.exchange.as_str());
    let keys = queues.iter().flat_map(|queue| queue.keys.iter().map(|key| (queue.name.as_str(), key.as_str())));
    pipelined(keys.map(|(queue, key)| object::bind_on(&channel, exchange, queue, key)).collect()).await?;
    let stale = queues.iter().flat_map(|queue| queue.stale_keys.iter().map(|key| (queue.name.as_str(), key.as_str())));
    pipelined(stale.map(|(queue, key)| object::unbind_on(&channel, exchange, queue, key)).collect()).await?;
    pipelined(queues.iter().map(|queue| shadow_on(&channel, exchange, queue)).collect()).await?;
    let _ = channel.close(200, "declared".into()).await;
    Ok(())
}

/// Once the queue itself is bound.
async fn shadow_on(channel: &Channel, exchange: &str, queue: &QueuePlan) -> lapin::Result<()> {
    let Some(shadow) = &queue.shadow else { return Ok(()) };
    for key in &queue.keys {
        if shadow.wanted {
            object::bind_on(channel, exchange, &shadow.queue, key).await?;
        } else {
            object::unbind_on(channel, exchange, &shadow.queue, key).await?;
        }
    }
    Ok(())
}

/// In the plan's order, so that whatever is dead-lettered or retried finds its destination already there. A refused
/// queue does not keep the others out.
async fn one_by_one(connection: &Connection, plan: &TopologyPlan) -> Result<Declared, DeclareError> {
    let mut created = Vec::from_iter(object::declare_exchange(connection, &plan.exchange).await?);
    let (mut outcome, mut shadowed) = (Ok(()), Vec::new());
    for queue in &plan.queues {
        let declared = object::declare_queue(connection, &plan.exchange, queue).await;
        if declared.is_ok() && queue.shadow.as_ref().is_some_and(|shadow| shadow.wanted) {
            shadowed.push(queue);
        }
        outcome = outcome.and(declared.map(|object| created.extend(object)));
    }
    // By now the shadows are there, too.
    for queue in shadowed.into_iter().filter(|_| connection.status().connected()) {
        outcome = outcome.and(object::bind(connection, &plan.exchange, queue).await);
    }
    let created = created.iter().map(Object::to_string).collect();
    outcome.map(|()| Declared { created })
}

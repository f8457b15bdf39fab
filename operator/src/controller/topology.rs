//! Keeps what RabbitMQ holds as the pipeline wants it: declared again at every look, so that a deleted queue or binding
//! is back within seconds; replaced where RabbitMQ cannot change it; removed where it is not wanted any more.

use super::{
    brokers::{Brokers, InUse},
    context::Memory,
    pods::Matching,
    prepare::Prepared,
    problem::Problem,
};
use crate::crd::status::PipelineStatus;
use lapin::Connection;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use warren_messaging::{
    broker::Broker,
    duration,
    link::LinkError,
    topology::{
        DeclareError, Object, QueueType, Topology, check, declare,
        migrate::{self, Migration},
        remove::{self, Retirement},
    },
};

/// How long a broker may take for what one look asks of it; mostly it takes milliseconds, and with a thousand pipelines at
/// once a second.
const ANSWER: Duration = Duration::from_secs(20);

/// What a look at the broker did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// What was missing, and is there now.
    pub created: Vec<String>,
    /// The queue that was replaced.
    pub migrated: Option<String>,
    /// The retry delays that have a queue on the broker, those of an earlier spec included.
    pub tiers: Vec<Duration>,
}

/// Brings the broker to what the pipeline wants. `processors` are the processor pods; asked for only when a queue has
/// to be replaced.
///
/// # Errors
/// The broker is away, refuses, or holds something that cannot be replaced.
pub async fn hold(
    prepared: &Prepared,
    shown: &PipelineStatus,
    processors: &Matching<'_>,
    brokers: &Brokers,
    memory: &mut Memory,
) -> Result<Held, Problem> {
    match hold_once(prepared, shown, processors, brokers, memory).await {
        Err(problem) if problem.is_of_the_connection() => {
            // A connection that was fine for others may have ended, or be used up: that is no news for the user.
            brokers.discard(&prepared.credentials.broker).await;
            hold_once(prepared, shown, processors, brokers, memory).await
        }
        Err(problem) if problem.is_silence() => {
            brokers.discard(&prepared.credentials.broker).await;
            Err(problem)
        }
        outcome => outcome,
    }
}

/// Gives up on a broker that says nothing: a node that hangs, or a network that swallows. Its connection is closed by lapin
/// only after two heartbeats, and others wait for it meanwhile.
pub async fn answered<T>(broker: &Broker, work: impl Future<Output = Result<T, Problem>>) -> Result<T, Problem> {
    let silence = |_| Problem::Broker(Arc::new(LinkError::NoAnswer { broker: broker.host_and_port() }));
    tokio::time::timeout(ANSWER, work).await.map_err(silence)?
}

async fn hold_once(
    prepared: &Prepared,
    shown: &PipelineStatus,
    processors: &Matching<'_>,
    brokers: &Brokers,
    memory: &mut Memory,
) -> Result<Held, Problem> {
    let mut connection = brokers.connection(&prepared.credentials.broker).await.map_err(Problem::Broker)?;
    let connected = &prepared.credentials.broker;
    answered(connected, hold_on(&mut connection, prepared, shown, processors, memory)).await
}

async fn hold_on(
    connection: &mut InUse,
    prepared: &Prepared,
    shown: &PipelineStatus,
    processors: &Matching<'_>,
    memory: &mut Memory,
) -> Result<Held, Problem> {
    let topology = &prepared.pipeline.topology;
    let mut held = Held::default();
    match declare::declare(connection, &topology.plan()).await {
        Ok(declared) => {
            // One for each, and one for all queues at once.
            connection.refused(declared.created.len() + usize::from(!declared.created.is_empty()));
            held.created = declared.created;
        }
        Err(DeclareError::Inequivalent { object: Object::Queue(queue), broker }) if queue == topology.requests() => {
            migrate(connection, topology, &broker, processors, memory).await?;
            held.migrated = Some(queue);
        }
        Err(error) => {
            // Nothing else is wrong then.
            memory.migrating &= !matches!(error, DeclareError::JournalDiffers { .. });
            return Err(error.into());
        }
    }
    memory.migrating = false;
    held.tiers = topology.retry.tiers();
    held.tiers.extend(topology.obsolete_tiers(&tiers(shown)));
    Ok(held)
}

/// One step of replacing the request queue. Other queues are not replaced: nothing in a spec that may change leads to
/// other arguments of theirs.
async fn migrate(
    connection: &Connection,
    topology: &Topology,
    broker: &str,
    processors: &Matching<'_>,
    memory: &mut Memory,
) -> Result<(), Problem> {
    let (plan, queue) = (topology.plan(), topology.requests());
    let Some(planned) = plan.queue(&queue) else { return Ok(()) };
    // A classic queue does not tell what a processor that is ending still works on; its pod does.
    if topology.queue_type == QueueType::Classic {
        let left = processors.count().await?;
        let ready = check::counts(connection, &queue).await.map_err(|error| DeclareError::unseen(&queue, error))?;
        let empty = ready.is_none_or(|counts| counts.ready == 0);
        memory.migrating = empty && left > 0;
        if memory.migrating {
            let consumers = u32::try_from(left).unwrap_or(u32::MAX);
            return Err(Problem::QueueMigrating { queue, consumers, broker: broker.into() });
        }
    }
    let migration = migrate::migrate(connection, &topology.exchange, planned).await?;
    memory.migrating = matches!(migration, Migration::InUse { .. });
    match migration {
        Migration::Done => Ok(()),
        Migration::NotEmpty { ready } => Err(Problem::QueueNotEmpty { queue, ready, broker: broker.into() }),
        Migration::InUse { consumers } => Err(Problem::QueueMigrating { queue, consumers, broker: broker.into() }),
    }
}

/// One step of removing tiers that the spec has no more; all that are there then. Call it when no processor of an
/// earlier spec is left, and forget [`Memory::empty_tiers`] whenever a look at the pipeline fails: a retry that could
/// not return to the request queue is in no count.
///
/// # Errors
/// The broker is away, or refuses.
pub async fn retire(
    prepared: &Prepared,
    tiers: &[Duration],
    brokers: &Brokers,
    memory: &mut Memory,
) -> Result<Vec<Duration>, Problem> {
    let topology = &prepared.pipeline.topology;
    let connection = brokers.connection(&prepared.credentials.broker).await.map_err(Problem::Broker)?;
    forget_if_full(&connection, topology, memory).await?;
    let mut left = topology.retry.tiers();
    for delay in topology.obsolete_tiers(tiers) {
        let empty_for = memory.empty_tiers.get(&delay).map_or(Duration::ZERO, Instant::elapsed);
        match remove::retire(&connection, topology, delay, empty_for).await? {
            Retirement::Gone => {
                memory.empty_tiers.remove(&delay);
                continue;
            }
            Retirement::NotEmpty { .. } => drop(memory.empty_tiers.remove(&delay)),
            Retirement::Empty => drop(memory.empty_tiers.entry(delay).or_insert_with(Instant::now)),
        }
        left.push(delay);
    }
    Ok(left)
}

/// While the request queue is full, retries that fall due cannot return to it.
async fn forget_if_full(connection: &Connection, topology: &Topology, memory: &mut Memory) -> Result<(), Problem> {
    let Some(limit) = topology.max_length else { return Ok(()) };
    let queue = topology.requests();
    let counts = check::counts(connection, &queue).await.map_err(|error| DeclareError::unseen(queue, error))?;
    if counts.is_none_or(|counts| u64::from(counts.ready) * 10 >= limit * 8) {
        memory.empty_tiers.clear();
    }
    Ok(())
}

/// The retry delays of which the status says that they have a queue.
pub fn tiers(shown: &PipelineStatus) -> Vec<Duration> {
    shown.retry_tiers.iter().filter_map(|text| duration::parse(text).ok()).collect()
}

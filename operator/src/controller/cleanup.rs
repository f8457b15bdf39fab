//! What happens when a pipeline is deleted. By default nothing: its objects go with it, its queues and records stay, and
//! no finalizer can hang. Only a `deletionPolicy` that promises to remove queues needs a finalizer, and that one gives
//! up, with a Warning, when it cannot keep the promise.

use super::{
    apply::Applier,
    context::{Context, Memory, Stored},
    credentials::Credentials,
    pods::Matching,
    prepare,
    problem::Problem,
    reason::Reason,
    reconcile::ReconcileError,
    topology::{answered, tiers},
};
use crate::{
    crd::{ProcessingPipeline, topology::DeletionPolicy},
    labels::Side,
    validate,
};
use k8s_openapi::jiff::Timestamp;
use kube::{
    Api, ResourceExt as _,
    api::{ObjectMeta, Patch, PatchParams},
};
use lapin::Connection;
use serde_json::json;
use std::time::Duration;
use warren_messaging::{
    broker::Broker,
    topology::{
        DeclareError, Topology, TopologyPlan,
        check::{Counts, counts},
        remove::{Removal, Removed, remove},
    },
};

/// The finalizer.
const FINALIZER: &str = "warren.dev/topology";
/// After this time a pipeline goes, whatever could not be removed.
const GIVE_UP_AFTER: Duration = Duration::from_secs(60);

/// Adds or removes the finalizer, as the policy asks.
///
/// # Errors
/// The API server refuses.
pub async fn keep_finalizer(pipeline: &ProcessingPipeline, context: &Context) -> Result<(), ReconcileError> {
    let needed = pipeline.spec.topology.deletion_policy != DeletionPolicy::Retain;
    if needed != has_finalizer(pipeline) {
        set_finalizer(pipeline, needed, context).await?;
    }
    Ok(())
}

fn has_finalizer(pipeline: &ProcessingPipeline) -> bool {
    pipeline.finalizers().iter().any(|finalizer| finalizer == FINALIZER)
}

/// Lets a resource go that cannot be read: what its policy was, nobody can tell any more.
///
/// # Errors
/// The API server refuses.
pub async fn let_go(metadata: &ObjectMeta, context: &Context) -> Result<(), ReconcileError> {
    let ours = metadata.finalizers.iter().flatten().any(|finalizer| finalizer == FINALIZER);
    if metadata.deletion_timestamp.is_none() || !ours {
        return Ok(());
    }
    let (namespace, name) = (metadata.namespace.as_deref().unwrap_or_default(), metadata.name.as_deref());
    let others = metadata.finalizers.iter().flatten().filter(|finalizer| *finalizer != FINALIZER);
    let patch =
        json!({"metadata": {"finalizers": others.collect::<Vec<_>>(), "resourceVersion": metadata.resource_version}});
    let api: Api<Stored> = Api::namespaced(context.client.clone(), namespace);
    tracing::warn!(pipeline = name, namespace, "deleted without a look at its queues: the resource cannot be read");
    api.patch(name.unwrap_or_default(), &PatchParams::default(), &Patch::Merge(patch)).await?;
    Ok(())
}

async fn set_finalizer(pipeline: &ProcessingPipeline, wanted: bool, context: &Context) -> Result<(), ReconcileError> {
    let others = pipeline.finalizers().iter().filter(|finalizer| *finalizer != FINALIZER).cloned();
    let finalizers: Vec<_> = others.chain(wanted.then(|| FINALIZER.to_owned())).collect();
    let api: Api<ProcessingPipeline> =
        Api::namespaced(context.client.clone(), &pipeline.namespace().unwrap_or_default());
    // With the version that was read: a finalizer that somebody else added meanwhile must not get lost.
    let patch = json!({"metadata": {"finalizers": finalizers, "resourceVersion": pipeline.resource_version()}});
    match api.patch(&pipeline.name_any(), &PatchParams::default(), &Patch::Merge(patch)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// How far a removal is.
enum Progress {
    Gone,
    /// Everything is gone but this journal.
    JournalLeft(String),
    /// What keeps the queues, for people.
    Kept(String),
    /// What is being waited for.
    Waiting(&'static str),
}

/// Removes what the policy of a deleted pipeline promises to remove.
///
/// # Errors
/// The API server refuses.
pub async fn clean_up(
    pipeline: &ProcessingPipeline,
    context: &Context,
    memory: &mut Memory,
) -> Result<Reason, ReconcileError> {
    context.autoscaler.leave_exchange(pipeline.metadata.uid.as_deref().unwrap_or_default()).await;
    if !has_finalizer(pipeline) {
        return Ok(Reason::Running);
    }
    let exchange = super::rival::exchange(pipeline);
    let waited = deleted_for(pipeline);
    match step(pipeline, context).await {
        Ok(Progress::Gone) => {
            let note = format!("the exchange `{exchange}` and its queues are removed");
            context.events.normal(pipeline, "TopologyRemoved", note).await;
        }
        Ok(Progress::JournalLeft(stream)) => journal_left(pipeline, exchange, &stream, context).await,
        Ok(Progress::Waiting(what)) if waited < patience(pipeline) => {
            if !std::mem::replace(&mut memory.said_waiting, true) {
                context.events.normal(pipeline, "Deleting", format!("before its queues are removed, {what}")).await;
            }
            return Ok(Reason::Pending);
        }
        Err(problem) if waited < GIVE_UP_AFTER && !matches!(problem, Problem::ExchangeTaken { .. }) => {
            tracing::warn!(pipeline = pipeline.name_any(), "cannot remove its queues yet: {}", problem.message());
            return Ok(problem.reason());
        }
        Ok(Progress::Kept(why)) => left_behind(pipeline, exchange, &why, context).await,
        Ok(Progress::Waiting(what)) => left_behind(pipeline, exchange, what, context).await,
        Err(problem) => left_behind(pipeline, exchange, &problem.message(), context).await,
    }
    set_finalizer(pipeline, false, context).await?;
    Ok(Reason::Running)
}

async fn left_behind(pipeline: &ProcessingPipeline, exchange: &str, why: &str, context: &Context) {
    let note = format!(
        "the exchange `{exchange}` and its queues `{exchange}.*` are left on the broker: {why}. A new pipeline on that \
         exchange takes them over; `rabbitmqctl delete_queue` removes them"
    );
    context.events.warning(pipeline, "TopologyLeftBehind", note).await;
}

async fn journal_left(pipeline: &ProcessingPipeline, exchange: &str, stream: &str, context: &Context) {
    let note = format!(
        "the exchange `{exchange}` and its queues are removed, but for the journal `{stream}`: it is not empty, and stays \
         until it is deleted with `rabbitmqctl delete_queue {stream}`. A new pipeline with a journal on that exchange takes \
         it over"
    );
    context.events.normal(pipeline, "JournalLeft", note).await;
}

fn deleted_for(pipeline: &ProcessingPipeline) -> Duration {
    let since = pipeline.metadata.deletion_timestamp.as_ref().map(|time| Timestamp::now().duration_since(time.0));
    since.and_then(|since| Duration::try_from(since).ok()).unwrap_or_default()
}

/// Work that has begun may end before the queues are judged.
fn patience(pipeline: &ProcessingPipeline) -> Duration {
    GIVE_UP_AFTER + warren_messaging::duration::parse(&pipeline.spec.processor.timeout).unwrap_or_default()
}

async fn step(pipeline: &ProcessingPipeline, context: &Context) -> Result<Progress, Problem> {
    if pipeline.spec.topology.deletion_policy == DeletionPolicy::Retain {
        return Ok(Progress::Kept("spec.topology.deletionPolicy is Retain".into()));
    }
    let topology = validate::validate(pipeline).map_err(Problem::Invalid)?.topology;
    let broker = broker(pipeline, context).await?;
    prepare::refuse_rival(pipeline, &broker, context).await?;
    let outcome = answered(&broker, take_away(pipeline, &topology, &broker, context)).await;
    if outcome.as_ref().is_err_and(|problem| problem.is_of_the_connection() || problem.is_silence()) {
        context.brokers.discard(&broker).await;
    }
    outcome
}

async fn take_away(
    pipeline: &ProcessingPipeline,
    topology: &Topology,
    broker: &Broker,
    context: &Context,
) -> Result<Progress, Problem> {
    let connection = context.brokers.connection(broker).await.map_err(Problem::Broker)?;
    let plan = whole_plan(pipeline, topology);
    if pipeline.spec.topology.deletion_policy == DeletionPolicy::Delete {
        stop(pipeline, Side::Processor, context).await?;
        stop(pipeline, Side::Web, context).await?;
        remove(&connection, &plan, Removal::Always).await?;
        return Ok(Progress::Gone);
    }
    if let Some(waiting) = empty_out(pipeline, topology, &connection, context).await? {
        return Ok(Progress::Waiting(waiting));
    }
    Ok(match remove(&connection, &plan, Removal::IfEmpty).await? {
        Removed::Gone => Progress::Gone,
        Removed::JournalLeft(stream) => Progress::JournalLeft(stream),
        Removed::Kept(queues) => Progress::Kept(held(&queues)),
    })
}

/// The broker's Secret is often deleted together with the pipeline: then what it last said counts.
async fn broker(pipeline: &ProcessingPipeline, context: &Context) -> Result<Broker, Problem> {
    match Credentials::read(pipeline, context).await {
        Ok(credentials) => Ok(credentials.broker),
        Err(problem) => context.last_broker(pipeline).ok_or(problem),
    }
}

/// The plan, together with the tiers and the journal of an earlier spec.
fn whole_plan(pipeline: &ProcessingPipeline, topology: &Topology) -> TopologyPlan {
    let shown = pipeline.status.as_ref().map(tiers).unwrap_or_default();
    let mut plan = topology.plan();
    plan.queues.extend(topology.obsolete_tiers(&shown).into_iter().map(|delay| topology.retry_queue(delay)));
    plan.queues.extend(topology.former_journal());
    plan
}

/// Stops the sides in the order in which messages flow: processors end what they have begun, then the web side records
/// the last results. What is still being waited for, if anything.
async fn empty_out(
    pipeline: &ProcessingPipeline,
    topology: &Topology,
    connection: &Connection,
    context: &Context,
) -> Result<Option<&'static str>, Problem> {
    let look = async |queue: String| {
        let found = counts(connection, &queue).await;
        found.map(Option::unwrap_or_default).map_err(|error| DeclareError::unseen(queue, error))
    };
    stop(pipeline, Side::Processor, context).await?;
    // The queue alone does not tell: a processor that is ending consumes no more, and may still work.
    let pods = Matching::new(&context.client, pipeline, Side::Processor).count().await?;
    if pods > 0 || look(topology.requests()).await?.consumers > 0 {
        return Ok(Some("processors are ending what they have begun"));
    }
    let results = look(topology.results()).await?;
    if results.ready > 0 && results.consumers > 0 {
        return Ok(Some("the web side is recording the last results"));
    }
    stop(pipeline, Side::Web, context).await?;
    Ok((results.consumers > 0).then_some("the web side is ending"))
}

async fn stop(pipeline: &ProcessingPipeline, side: Side, context: &Context) -> Result<(), Problem> {
    let name = side.object_name(&pipeline.name_any());
    Applier::new(pipeline, context).remove("Deployment", &name).await.map(drop)
}

fn held(queues: &[(String, Counts)]) -> String {
    let each = queues.iter().map(|(queue, counts)| match counts {
        Counts { ready: 0, consumers } => format!("{queue} has {consumers} consumers"),
        Counts { ready, .. } => format!("{queue} holds {ready} messages"),
    });
    each.collect::<Vec<_>>().join(", ")
}

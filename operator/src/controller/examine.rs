//! What a look at a pipeline does, top to bottom: prepare, declare, build, apply, scale, retire, and see how its sides
//! are.

use super::{
    apply::{Applier, Changes},
    context::{Context, Memory},
    credentials::Pinned,
    handover, pace,
    pods::{self, Matching},
    prepare::{self, Prepared},
    problem::Problem,
    reason::Reason,
    scale,
    side::Side,
    status::Findings,
    topology::{self, Held},
};
use crate::{build, crd::ProcessingPipeline, labels};
use kube::ResourceExt as _;
use std::time::Instant;
use warren_messaging::{error_chain::Chain, topology::DeclareError};

/// Does what is needed, and tells what was found.
pub async fn examine(resource: &ProcessingPipeline, context: &Context, memory: &mut Memory) -> Findings {
    let (mut topology, mut applied, mut blocked) = (None, None, None);
    match prepare::prepare(resource, context).await {
        Err(problem) => {
            if !scale::is_counted_by_us(resource) {
                context.autoscaler.leave(resource.metadata.uid.as_deref().unwrap_or_default());
            }
            stand_down(resource, &problem, context).await;
            blocked = Some(problem);
        }
        Ok(prepared) => {
            let next = prepared.credentials.pin(memory.pinned.as_ref());
            let held = hold(resource, &prepared, is_rotated(memory, &next), context, memory).await;
            let next = if keeps_us_out(&held) { next.unless_broker_is_new(memory.pinned.as_ref()) } else { next };
            let rotated = is_rotated(memory, &next);
            memory.pinned = Some(next);
            let brought = bring(resource, &prepared, rotated, context, memory).await;
            topology = Some(retire(resource, &prepared, held, brought.as_ref().ok(), context, memory).await);
            applied = Some(brought.map(drop));
        }
    }
    let view = context.autoscaler.view(resource.metadata.uid.as_deref().unwrap_or_default());
    Findings {
        blocked,
        topology,
        applied,
        web: side(resource, resource.spec.web.managed, labels::Side::Web, context).await,
        processor: side(resource, resource.spec.processor.managed, labels::Side::Processor, context).await,
        scaling: scale::verdict(resource, view.as_ref()),
        backlog: scale::rounded_backlog(view.as_ref()),
        endpoint: resource.spec.web.managed.then(|| endpoint(resource)),
    }
}

/// A pipeline that finds its exchange taken must not go on taking the other's messages.
async fn stand_down(resource: &ProcessingPipeline, problem: &Problem, context: &Context) {
    if !matches!(problem, Problem::ExchangeTaken { .. }) {
        return;
    }
    let namespace = resource.namespace().unwrap_or_default();
    context.autoscaler.leave(resource.metadata.uid.as_deref().unwrap_or_default());
    for side in [labels::Side::Web, labels::Side::Processor] {
        let name = side.object_name(&resource.name_any());
        let Some(deployment) = context.children.get("Deployment", &namespace, &name) else { continue };
        if deployment.owner.as_deref() == resource.metadata.uid.as_deref() && deployment.replicas != Some(0) {
            // Tried again at the next look.
            if let Err(error) = scale::write(&context.client, &namespace, &name, 0).await {
                tracing::warn!(namespace, name, "cannot scale the Deployment to zero: {}; trying again", Chain(&error));
            }
        }
    }
}

/// Whether the workers would be started with other credentials than before.
fn is_rotated(memory: &Memory, next: &Pinned) -> bool {
    memory.pinned.as_ref().is_some_and(|before| before != next)
}

/// Whether the broker does not let us in, or not do what we must: workers that are in are not replaced by such as would not
/// be.
fn keeps_us_out(held: &Result<Held, Problem>) -> bool {
    match held {
        Err(Problem::Broker(_)) => true,
        Err(Problem::Topology(error)) => matches!(**error, DeclareError::Forbidden { .. }),
        _ => false,
    }
}

/// Brings the broker to what is wanted, unless that was found right just now.
async fn hold(
    resource: &ProcessingPipeline,
    prepared: &Prepared,
    rotated: bool,
    context: &Context,
    memory: &mut Memory,
) -> Result<Held, Problem> {
    let generation = resource.metadata.generation;
    let right = pace::right_for(context.pipelines.len());
    let recent = memory.held.take().filter(|(at, of, _)| at.elapsed() < right && *of == generation && !rotated);
    let (at, held) = match recent {
        Some((at, _, held)) => (at, held),
        None => (Instant::now(), hold_now(resource, prepared, rotated, context, memory).await?),
    };
    if held.created.is_empty() && held.migrated.is_none() {
        memory.held = Some((at, generation, held.clone()));
    }
    Ok(held)
}

async fn hold_now(
    resource: &ProcessingPipeline,
    prepared: &Prepared,
    rotated: bool,
    context: &Context,
    memory: &mut Memory,
) -> Result<Held, Problem> {
    let shown = resource.status.clone().unwrap_or_default();
    let processors = Matching::new(&context.client, resource, labels::Side::Processor);
    let held = topology::hold(prepared, &shown, &processors, &context.brokers, memory).await?;
    // Whatever a new spec, or a new broker, needs for the first time is no repair.
    let was_declared = shown.conditions.iter().any(|shown| shown.reason == Reason::Declared.as_str());
    let is_repair = was_declared && !rotated && shown.observed_generation == resource.metadata.generation;
    if is_repair && !held.created.is_empty() {
        let note = format!("declared anew what was missing on the broker: {}", held.created.join(", "));
        context.events.warning(resource, "TopologyRepaired", note).await;
    }
    if let Some(queue) = &held.migrated {
        let note = format!("queue {queue} was empty and is replaced by one with the arguments that the spec asks for");
        context.events.normal(resource, "QueueMigrated", note).await;
    }
    Ok(held)
}

/// Removes retry tiers of an earlier spec, once no processor of it is left.
async fn retire(
    resource: &ProcessingPipeline,
    prepared: &Prepared,
    held: Result<Held, Problem>,
    changes: Option<&Changes>,
    context: &Context,
    memory: &mut Memory,
) -> Result<Held, Problem> {
    let Some(held) = held.as_ref().ok().filter(|held| held.created.is_empty()).cloned() else {
        memory.empty_tiers.clear();
        return held;
    };
    let obsolete = held.tiers.len() > prepared.pipeline.topology.retry.tiers().len();
    if !obsolete || changes != Some(&Changes::default()) || !rolled_out(resource, context).await? {
        return Ok(held);
    }
    let tiers = topology::retire(prepared, &held.tiers, &context.brokers, memory).await?;
    Ok(Held { tiers, ..held })
}

/// Whether all processors run what the spec says now, and none that is ending still runs something else.
async fn rolled_out(resource: &ProcessingPipeline, context: &Context) -> Result<bool, Problem> {
    let (namespace, name) = (resource.namespace().unwrap_or_default(), resource.name_any());
    let deployment = context.children.get("Deployment", &namespace, &labels::Side::Processor.object_name(&name));
    let Some(rollout) = deployment.and_then(|deployment| deployment.rollout) else { return Ok(false) };
    if !rollout.is_current || rollout.updated != rollout.replicas {
        return Ok(false);
    }
    let pods = Matching::new(&context.client, resource, labels::Side::Processor).count().await?;
    Ok(i32::try_from(pods) == Ok(rollout.replicas))
}

/// Builds and applies the objects, and sets the number of processors, whatever becomes of the objects.
async fn bring(
    resource: &ProcessingPipeline,
    prepared: &Prepared,
    rotated: bool,
    context: &Context,
    memory: &mut Memory,
) -> Result<Changes, Problem> {
    let pinned = memory.pinned.as_ref();
    let web = pinned.map(Pinned::broker_and_store).unwrap_or_default();
    let processor = pinned.map(Pinned::broker).unwrap_or_default();
    let objects = build::objects(&prepared.pipeline, &context.images).with_secrets_revisions(&web, processor);
    handover::web_replicas(resource, prepared, context).await?;
    let applied = Applier::new(resource, context).apply(&objects.values(), &mut memory.applied).await;
    if let Ok(changes) = &applied {
        context.events.changes(resource, changes).await;
    }
    if rotated {
        let note = "a Secret that the pipeline refers to has changed: the workers are replaced one after the other";
        context.events.normal(resource, "SecretRotated", note).await;
    }
    let scaled = scale::processors(resource, prepared, context, memory).await;
    applied.and_then(|changes| scaled.map(|()| changes))
}

/// What is to be said of one side.
async fn side(resource: &ProcessingPipeline, managed: bool, side: labels::Side, context: &Context) -> Side {
    let (namespace, name) = (resource.namespace().unwrap_or_default(), resource.name_any());
    let deployment = context.children.get("Deployment", &namespace, &side.object_name(&name));
    let known = deployment.and_then(|deployment| Some((deployment.replicas, deployment.rollout?)));
    let Some((replicas, rollout)) = known.filter(|_| managed) else {
        return if managed { Side::Missing } else { Side::NotManaged };
    };
    let wanted = replicas.unwrap_or(1);
    let selector = labels::selector_text(&side.selector(&name));
    let trouble =
        if rollout.is_complete(wanted) { None } else { pods::trouble(&context.client, &namespace, &selector).await };
    Side::Deployed { wanted, rollout, trouble, selector }
}

fn endpoint(resource: &ProcessingPipeline) -> String {
    let service = labels::Side::Web.object_name(&resource.name_any());
    format!("http://{service}.{}.svc/api/v1/processData", resource.namespace().unwrap_or_default())
}

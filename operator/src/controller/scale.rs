//! Who counts a pipeline's processors, and how a Deployment gets their number: through its scale subresource, under a
//! field manager of its own, so that applying the Deployment and counting its replicas never fight.

mod deployment;
mod mark;
mod victims;

use super::{
    context::{Context, Memory},
    prepare::Prepared,
    problem::Problem,
    reason::Reason,
    status::Verdict,
};
use crate::{
    crd::{ProcessingPipeline, scaling::ScalingMode},
    labels::Side,
    scaling::{self, Scaled, Title, View},
    validate::Scaling,
};
use deployment::DeploymentFleet;
use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Api, Client, ResourceExt as _,
    api::{Patch, PatchParams},
};
use serde_json::json;
use std::sync::Arc;

/// The field manager of the number of processors.
const FIELD_MANAGER: &str = "warren-scaler";
/// The annotation of a pipeline whose processors nobody counts for the time being: whatever number somebody sets, stays.
pub const PAUSED: &str = "warren.dev/scaling-paused";

/// Has the processors counted, by whoever counts them.
///
/// # Errors
/// The API server refuses a number.
pub async fn processors(
    resource: &ProcessingPipeline,
    prepared: &Prepared,
    context: &Context,
    memory: &mut Memory,
) -> Result<(), Problem> {
    let key = resource.metadata.uid.clone().unwrap_or_default();
    let policy = scaling::policy(&prepared.pipeline).filter(|_| !memory.migrating && !is_paused(resource));
    if let Some(policy) = policy {
        memory.before_migration = None;
        let scaled = Scaled {
            key,
            title: Title { namespace: resource.namespace().unwrap_or_default(), name: resource.name_any() },
            topology: prepared.pipeline.topology.clone(),
            policy,
            fleet: Arc::new(DeploymentFleet::new(resource, context)),
        };
        context.autoscaler.scale(&prepared.credentials.broker, scaled);
        return Ok(());
    }
    context.autoscaler.leave(&key);
    let given = match prepared.pipeline.processor.as_ref().map(|processor| &processor.scaling) {
        Some(_) if memory.migrating => {
            memory.before_migration = memory.before_migration.or_else(|| replicas(resource, context));
            Some(0)
        }
        Some(Scaling::External(replicas)) if !is_paused(resource) => Some(*replicas),
        // Nobody else brings them back.
        Some(_) if is_paused(resource) => memory.before_migration,
        _ => None,
    };
    if let Some(replicas) = given {
        set(resource, replicas, context).await?;
    }
    if !memory.migrating {
        // Not before it is set: a refused write is tried again.
        memory.before_migration = None;
    }
    Ok(())
}

/// The number that is asked for, unless that is none.
fn replicas(resource: &ProcessingPipeline, context: &Context) -> Option<u32> {
    let name = Side::Processor.object_name(&resource.name_any());
    let deployment = context.children.get("Deployment", &resource.namespace().unwrap_or_default(), &name)?;
    deployment.replicas.and_then(|replicas| u32::try_from(replicas).ok()).filter(|replicas| *replicas > 0)
}

/// Sets the number, if it is another.
async fn set(resource: &ProcessingPipeline, replicas: u32, context: &Context) -> Result<(), Problem> {
    let (namespace, name) = (resource.namespace().unwrap_or_default(), resource.name_any());
    let (name, wanted) = (Side::Processor.object_name(&name), i32::try_from(replicas).unwrap_or(i32::MAX));
    let deployment = context.children.get("Deployment", &namespace, &name);
    if deployment.is_some_and(|deployment| deployment.replicas != Some(wanted)) {
        let written = write(&context.client, &namespace, &name, replicas).await;
        written.map_err(|source| Problem::Api { doing: format!("scale Deployment {name}"), source })?;
    }
    Ok(())
}

/// Writes the number, whatever it was.
///
/// # Errors
/// The API server refuses.
pub async fn write(client: &Client, namespace: &str, name: &str, replicas: u32) -> kube::Result<()> {
    let api: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
    api.patch_scale(name, &as_scaler(), &patch).await.map(drop)
}

fn as_scaler() -> PatchParams {
    PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() }
}

/// The condition `ScalingActive`.
#[must_use]
pub fn verdict(resource: &ProcessingPipeline, view: Option<&View>) -> Verdict {
    let processor = &resource.spec.processor;
    if !processor.managed {
        let message = "spec.processor.managed is false: somebody else runs the processors";
        return Verdict::fails(Reason::NotManaged, message);
    }
    if is_paused(resource) {
        let message = format!("paused by the annotation {PAUSED}: the number of processors stays until it is removed");
        return Verdict::fails(Reason::Paused, message);
    }
    if processor.scaling.mode == ScalingMode::External {
        return Verdict::fails(Reason::External, "spec.processor.replicas says how many processors run");
    }
    if let Some((decision, trouble)) = view.and_then(|view| Some((&view.decision, view.trouble.as_ref()?))) {
        let message = format!("{trouble}; it is tried again. Wanted: {}", decision.because);
        return Verdict::fails(Reason::ScalingRefused, message);
    }
    match view.map(|view| &view.decision) {
        None => Verdict::unknown("no decision was made yet"),
        Some(decision) if decision.reason.is_blind() => {
            Verdict::fails(Reason::Scaling(decision.reason), &decision.because)
        }
        Some(decision) => Verdict::holds(Reason::Scaling(decision.reason), &decision.because),
    }
}

/// About how many wait, to two digits: what changes by less is no news.
#[must_use]
pub fn rounded_backlog(view: Option<&View>) -> Option<i64> {
    let waiting = view?.backlog?;
    let digit = 10_u64.pow(waiting.checked_ilog10().unwrap_or(0).saturating_sub(1));
    i64::try_from(waiting.div_ceil(digit).saturating_mul(digit)).ok()
}

/// Whether the number of processors is for the autoscaler to set, as the resource says.
pub fn is_counted_by_us(resource: &ProcessingPipeline) -> bool {
    let processor = &resource.spec.processor;
    processor.managed && processor.scaling.mode == ScalingMode::Backlog && !is_paused(resource)
}

fn is_paused(resource: &ProcessingPipeline) -> bool {
    resource.annotations().get(PAUSED).is_some_and(|value| value != "false")
}

#[cfg(test)]
mod tests {
    use super::*;
    use warren_scaling::Decision;

    fn view(backlog: Option<u64>) -> View {
        let decision = Decision { replicas: 1, reason: warren_scaling::Reason::Steady, because: String::new() };
        View { decision, backlog, trouble: None }
    }

    #[test]
    fn a_backlog_is_told_to_two_digits() {
        let told = |backlog| rounded_backlog(Some(&view(Some(backlog))));
        assert_eq!([0, 7, 42, 99, 101, 12_345].map(told), [0, 7, 42, 99, 110, 13_000].map(Some));
        assert_eq!(told(u64::MAX), None, "no integer of Kubernetes");
        assert_eq!(rounded_backlog(Some(&view(None))), None);
    }
}

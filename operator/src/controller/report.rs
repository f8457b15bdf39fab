//! Writes a pipeline's status, when it differs from what is shown, and tells what changed.

use super::{
    apply::FIELD_MANAGER,
    context::{Context, Memory, Stored},
    problem::Problem,
    reason::Reason,
    reconcile::ReconcileError,
    status::Findings,
};
use crate::crd::{ProcessingPipeline, status::PipelineStatus};
use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};
use kube::{
    Api, Resource as _, ResourceExt as _,
    api::{Patch, PatchParams},
    core::error_boundary::InvalidObject,
};
use serde_json::json;

/// Shows the findings; their reason.
///
/// # Errors
/// The API server refuses.
pub async fn write(
    pipeline: &ProcessingPipeline,
    findings: &Findings,
    context: &Context,
) -> Result<Reason, ReconcileError> {
    let shown = pipeline.status.clone().unwrap_or_default();
    let now = Time(Timestamp::now());
    let status = findings.status(pipeline.metadata.generation, &shown, &now);
    if status != shown {
        patch(&pipeline.name_any(), pipeline.namespace().as_deref(), &status, context).await?;
        context.events.transition(pipeline, &shown, &status).await;
    }
    Ok(findings.reason(&shown, &now))
}

/// Says of a resource that it cannot be read, once per reason. The rest of its status stays as it was.
///
/// # Errors
/// The API server refuses.
pub async fn undecodable(
    invalid: &InvalidObject,
    context: &Context,
    memory: &mut Memory,
) -> Result<Reason, ReconcileError> {
    let problem = Problem::Undecodable(invalid.error.clone());
    let (reason, message) = (problem.reason(), problem.message());
    if memory.undecodable.as_ref() == Some(&message) {
        return Ok(reason);
    }
    let (namespace, name) = (invalid.metadata.namespace.clone().unwrap_or_default(), invalid.metadata.name.clone());
    tracing::warn!(pipeline = name, namespace, "{message}");
    let condition = Condition {
        type_: "Ready".into(),
        status: "False".into(),
        reason: reason.to_string(),
        message: message.clone(),
        observed_generation: invalid.metadata.generation,
        last_transition_time: Time(Timestamp::now()),
    };
    // Decoding the answer as a pipeline would fail as well.
    let api: Api<Stored> = Api::namespaced(context.client.clone(), &namespace);
    let patch = Patch::Merge(json!({"status": {"conditions": [condition]}}));
    api.patch_status(name.as_deref().unwrap_or_default(), &PatchParams::default(), &patch).await?;
    memory.undecodable = Some(message);
    Ok(reason)
}

async fn patch(
    name: &str,
    namespace: Option<&str>,
    status: &PipelineStatus,
    context: &Context,
) -> Result<(), ReconcileError> {
    let api: Api<ProcessingPipeline> = Api::namespaced(context.client.clone(), namespace.unwrap_or_default());
    let whole = json!({
        "apiVersion": ProcessingPipeline::api_version(&()),
        "kind": ProcessingPipeline::kind(&()),
        "status": status,
    });
    let parameters = PatchParams::apply(FIELD_MANAGER).force();
    match api.patch_status(name, &parameters, &Patch::Apply(whole)).await {
        Ok(_) => Ok(()),
        // Deleted meanwhile: nobody is left to be told.
        Err(kube::Error::Api(answer)) if answer.is_not_found() => Ok(()),
        Err(error) => Err(error.into()),
    }
}

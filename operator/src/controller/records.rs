//! Records outlive their pipeline unless its policy, as it is now, says otherwise.

use super::context::Context;
use crate::{
    crd::{ProcessingPipeline, topology::DeletionPolicy},
    labels,
};
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::{
    Api, ResourceExt as _,
    api::{Patch, PatchParams},
};
use serde_json::json;

/// Takes a pipeline's claim away from it, if the policy was `Delete` and is not any more: Kubernetes deletes what a deleted
/// object owns. Applying the claim would do the same, and is not come to while a Secret is missing, once the spec has
/// another store, or while the pipeline is being deleted.
///
/// # Errors
/// The API server refuses.
pub async fn keep(pipeline: &ProcessingPipeline, context: &Context) -> kube::Result<()> {
    let (namespace, name) = (pipeline.namespace().unwrap_or_default(), labels::store_name(&pipeline.name_any()));
    let claim = context.children.get("PersistentVolumeClaim", &namespace, &name);
    let Some(claim) = claim.filter(|claim| claim.owner.as_deref() == pipeline.metadata.uid.as_deref()) else {
        return Ok(());
    };
    if pipeline.spec.topology.deletion_policy == DeletionPolicy::Delete {
        return Ok(());
    }
    let api: Api<PersistentVolumeClaim> = Api::namespaced(context.client.clone(), &namespace);
    let patch = json!({"metadata": {"uid": claim.uid, "ownerReferences": null}});
    match api.patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await {
        // It is gone, or another one by now.
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
        outcome => outcome.map(drop),
    }
}

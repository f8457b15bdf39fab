//! Name, labels and owner of every object.

use crate::{crd::ProcessingPipeline, labels::Side, validate::Pipeline};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference};
use kube::Resource as _;

/// Metadata of an object on `side`, deleted together with the pipeline.
pub(super) fn owned(pipeline: &Pipeline, side: Side) -> ObjectMeta {
    ObjectMeta { owner_references: owner(pipeline).map(|owner| vec![owner]), ..unowned(pipeline, side) }
}

/// Metadata of an object on `side` that outlives the pipeline.
pub(super) fn unowned(pipeline: &Pipeline, side: Side) -> ObjectMeta {
    ObjectMeta {
        name: Some(side.object_name(&pipeline.name)),
        namespace: pipeline.namespace.clone(),
        labels: Some(side.labels(&pipeline.name)),
        ..ObjectMeta::default()
    }
}

/// Selects the pods of `side`.
pub(super) fn selector(pipeline: &Pipeline, side: Side) -> LabelSelector {
    LabelSelector { match_labels: Some(side.selector(&pipeline.name)), ..LabelSelector::default() }
}

fn owner(pipeline: &Pipeline) -> Option<OwnerReference> {
    Some(OwnerReference {
        api_version: ProcessingPipeline::api_version(&()).into_owned(),
        kind: ProcessingPipeline::kind(&()).into_owned(),
        name: pipeline.name.clone(),
        uid: pipeline.uid.clone()?,
        controller: Some(true),
        block_owner_deletion: Some(true),
    })
}

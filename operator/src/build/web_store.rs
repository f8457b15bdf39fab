//! The volume on which a web side with sqlite keeps its records.

use super::metadata;
use crate::{
    crd::topology::DeletionPolicy,
    labels::{self, Side},
    validate::{Pipeline, Store, Web},
};
use k8s_openapi::{
    api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimSpec, VolumeResourceRequirements},
    apimachinery::pkg::{api::resource::Quantity, apis::meta::v1::ObjectMeta},
};

/// The claim outlives the pipeline unless the user chose to delete what it holds: the records are as much the user's
/// as the messages are.
pub(super) fn build(pipeline: &Pipeline, web: &Web) -> Option<PersistentVolumeClaim> {
    let Store::Sqlite { size } = &web.store else { return None };
    let metadata = match pipeline.deletion_policy {
        DeletionPolicy::Delete => metadata::owned(pipeline, Side::Web),
        DeletionPolicy::Retain | DeletionPolicy::DeleteIfEmpty => metadata::unowned(pipeline, Side::Web),
    };
    Some(PersistentVolumeClaim {
        metadata: ObjectMeta { name: Some(labels::store_name(&pipeline.name)), ..metadata },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".into()]),
            resources: Some(VolumeResourceRequirements {
                requests: Some([("storage".to_owned(), Quantity(size.clone()))].into()),
                ..VolumeResourceRequirements::default()
            }),
            ..PersistentVolumeClaimSpec::default()
        }),
        ..PersistentVolumeClaim::default()
    })
}

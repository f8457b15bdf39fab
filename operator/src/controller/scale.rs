//! Writes the number of processors, through the Deployment's scale subresource and under a field manager of its own, so
//! that applying the Deployment and counting its replicas never fight.

use super::problem::Problem;
use crate::validate::{Processor, Scaling};
use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::json;

/// The field manager of the number of processors.
const FIELD_MANAGER: &str = "warren-scaler";

/// How many processors there should be.
#[must_use]
pub fn replicas(processor: &Processor) -> i32 {
    let wanted = match processor.scaling {
        Scaling::Backlog { min_replicas, .. } => min_replicas.max(1),
        Scaling::External(replicas) => replicas,
    };
    i32::try_from(wanted).unwrap_or(i32::MAX)
}

/// Writes the number.
///
/// # Errors
/// The API server refuses.
pub async fn write(client: &Client, namespace: &str, name: &str, replicas: i32) -> Result<(), Problem> {
    let api: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
    let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
    let written = api.patch_scale(name, &parameters, &patch).await;
    written.map(drop).map_err(|source| Problem::Api { doing: format!("scale Deployment {name}"), source })
}

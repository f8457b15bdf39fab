//! Keeps node drains from taking all web replicas at a time.

use super::metadata;
use crate::{
    labels::Side,
    validate::{Pipeline, Web},
};
use k8s_openapi::{
    api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};

/// None for a single replica: a budget would only keep its node from being drained.
pub(super) fn build(pipeline: &Pipeline, web: &Web) -> Option<PodDisruptionBudget> {
    (web.replicas.at_most() > 1).then(|| PodDisruptionBudget {
        metadata: metadata::owned(pipeline, Side::Web),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(metadata::selector(pipeline, Side::Web)),
            // A replica that is not ready serves nobody; let it go.
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".into()),
            ..PodDisruptionBudgetSpec::default()
        }),
        ..PodDisruptionBudget::default()
    })
}

//! Counts the web replicas by their CPU use.

use super::metadata;
use crate::{
    labels::Side,
    validate::{Pipeline, Web, WebReplicas},
};
use k8s_openapi::api::autoscaling::v2::{
    CrossVersionObjectReference, HorizontalPodAutoscaler, HorizontalPodAutoscalerSpec, MetricSpec, MetricTarget,
    ResourceMetricSource,
};

pub(super) fn build(pipeline: &Pipeline, web: &Web) -> Option<HorizontalPodAutoscaler> {
    let WebReplicas::Autoscaled(autoscaling) = &web.replicas else { return None };
    Some(HorizontalPodAutoscaler {
        metadata: metadata::owned(pipeline, Side::Web),
        spec: HorizontalPodAutoscalerSpec {
            scale_target_ref: CrossVersionObjectReference {
                api_version: Some("apps/v1".into()),
                kind: "Deployment".into(),
                name: Side::Web.object_name(&pipeline.name),
            },
            min_replicas: Some(autoscaling.min_replicas),
            max_replicas: autoscaling.max_replicas,
            metrics: Some(vec![cpu(autoscaling.target_cpu_utilization_percentage)]),
            ..HorizontalPodAutoscalerSpec::default()
        },
        ..HorizontalPodAutoscaler::default()
    })
}

fn cpu(percent: i32) -> MetricSpec {
    MetricSpec {
        type_: "Resource".into(),
        resource: Some(ResourceMetricSource {
            name: "cpu".into(),
            target: MetricTarget {
                type_: "Utilization".into(),
                average_utilization: Some(percent),
                ..MetricTarget::default()
            },
        }),
        ..MetricSpec::default()
    }
}

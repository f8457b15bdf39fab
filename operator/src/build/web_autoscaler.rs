//! Counts the web replicas by their CPU use.

use super::metadata;
use crate::{
    labels::Side,
    validate::{Pipeline, Web, WebReplicas},
};
use k8s_openapi::api::autoscaling::v2::{
    CrossVersionObjectReference, HPAScalingPolicy, HPAScalingRules, HorizontalPodAutoscaler,
    HorizontalPodAutoscalerBehavior, HorizontalPodAutoscalerSpec, MetricSpec, MetricTarget, ResourceMetricSource,
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
            behavior: Some(behavior()),
        },
        ..HorizontalPodAutoscaler::default()
    })
}

/// Up at once, by doubling or by four: an overloaded replica refuses or delays submits. Down by one a minute, after five
/// quiet ones: each replica that goes ends the long polls of its clients.
fn behavior() -> HorizontalPodAutoscalerBehavior {
    HorizontalPodAutoscalerBehavior {
        scale_up: Some(rules(0, vec![policy("Percent", 100, 15), policy("Pods", 4, 15)])),
        scale_down: Some(rules(300, vec![policy("Pods", 1, 60)])),
    }
}

fn rules(stabilization_window_seconds: i32, policies: Vec<HPAScalingPolicy>) -> HPAScalingRules {
    HPAScalingRules {
        stabilization_window_seconds: Some(stabilization_window_seconds),
        select_policy: Some("Max".into()),
        policies: Some(policies),
        ..HPAScalingRules::default()
    }
}

fn policy(kind: &str, value: i32, period_seconds: i32) -> HPAScalingPolicy {
    HPAScalingPolicy { type_: kind.into(), value, period_seconds }
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

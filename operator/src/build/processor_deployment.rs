//! Runs the processors.

use super::{Images, environment, handler, metadata, pod};
use crate::{
    labels::Side,
    validate::{Pipeline, Processor},
};
use k8s_openapi::api::{
    apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy},
    core::v1::{Container, PodSpec},
};

/// Name of the port for health and metrics.
pub(super) const HEALTH: &str = "health";
/// Its number; the schema keeps http handlers from using it too.
const HEALTH_PORT: i32 = 8081;
/// Beyond the timeout: to publish the last outcomes and close the connections.
const GRACE_BEYOND_TIMEOUT: i64 = 30;

/// No number of replicas here, whatever the scaling mode: a field that is applied again would fight with whoever
/// writes it through the scale subresource.
pub(super) fn build(pipeline: &Pipeline, processor: &Processor, images: &Images) -> Deployment {
    let spec = spec(pipeline, processor, images);
    Deployment {
        metadata: metadata::owned(pipeline, Side::Processor),
        spec: DeploymentSpec {
            selector: metadata::selector(pipeline, Side::Processor),
            strategy: Some(DeploymentStrategy { type_: Some("RollingUpdate".into()), rolling_update: None }),
            template: pod::template(pipeline, Side::Processor, spec, processor.template.as_ref()),
            ..DeploymentSpec::default()
        },
        ..Deployment::default()
    }
}

fn spec(pipeline: &Pipeline, processor: &Processor, images: &Images) -> PodSpec {
    let mut spec = pod::spec(pipeline, Side::Processor, grace_seconds(processor));
    spec.containers = vec![container(pipeline, processor, images)];
    handler::add(&mut spec, &processor.handler, images);
    spec
}

fn grace_seconds(processor: &Processor) -> i64 {
    let timeout = processor.timeout.as_millis().div_ceil(1000);
    i64::try_from(timeout).unwrap_or(i64::MAX).saturating_add(GRACE_BEYOND_TIMEOUT)
}

fn container(pipeline: &Pipeline, processor: &Processor, images: &Images) -> Container {
    Container {
        env: Some(environment::processor(pipeline, processor, HEALTH_PORT)),
        ports: Some(vec![pod::port(HEALTH, HEALTH_PORT)]),
        liveness_probe: Some(pod::probe("/healthz", HEALTH, 10, 3)),
        readiness_probe: Some(pod::probe("/readyz", HEALTH, 5, 2)),
        resources: Some(pod::resources("20m", "32Mi", Some("256Mi"))),
        ..pod::container(Side::Processor.container(), &images.processor)
    }
}

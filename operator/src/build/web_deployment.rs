//! Runs the web side.

use super::{
    Images,
    environment::{self, STORE_DIRECTORY},
    metadata, pod,
};
use crate::{
    labels::{self, Side},
    validate::{Pipeline, Store, Web, WebReplicas},
};
use k8s_openapi::{
    api::{
        apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment},
        core::v1::{
            Container, Lifecycle, LifecycleHandler, PersistentVolumeClaimVolumeSource, PodSpec, SleepAction,
            TopologySpreadConstraint, Volume,
        },
    },
    apimachinery::pkg::util::intstr::IntOrString,
};

/// Name of the port that clients use.
pub(super) const HTTP: &str = "http";
/// Its number.
const HTTP_PORT: i32 = 8080;
/// Name of the sqlite store's volume.
const STORE: &str = "store";
/// Long polls are answered as soon as a process is told to end; submits wait for RabbitMQ for 5 seconds at most.
const GRACE_SECONDS: i64 = 40;
/// How long a replica still serves after it was told to go, until no proxy sends it requests any more.
const DRAIN_SECONDS: i64 = 5;

pub(super) fn build(pipeline: &Pipeline, web: &Web, images: &Images) -> Deployment {
    Deployment {
        metadata: metadata::owned(pipeline, Side::Web),
        spec: DeploymentSpec {
            replicas: match &web.replicas {
                WebReplicas::Fixed(replicas) => Some(*replicas),
                WebReplicas::Autoscaled(_) => None,
            },
            selector: metadata::selector(pipeline, Side::Web),
            strategy: Some(strategy(&web.store)),
            template: pod::template(pipeline, Side::Web, spec(pipeline, web, images), web.template.as_ref()),
            ..DeploymentSpec::default()
        },
        ..Deployment::default()
    }
}

/// Two processes must not write one sqlite file, so the old one goes first; elsewhere the new one comes first.
fn strategy(store: &Store) -> DeploymentStrategy {
    match store {
        Store::Sqlite { .. } => DeploymentStrategy { type_: Some("Recreate".into()), rolling_update: None },
        Store::Postgres(_) => DeploymentStrategy {
            type_: Some("RollingUpdate".into()),
            rolling_update: Some(RollingUpdateDeployment {
                max_surge: Some(IntOrString::Int(1)),
                max_unavailable: Some(IntOrString::Int(0)),
            }),
        },
    }
}

fn spec(pipeline: &Pipeline, web: &Web, images: &Images) -> PodSpec {
    let mut spec = pod::spec(pipeline, Side::Web, GRACE_SECONDS);
    if let Store::Sqlite { .. } = web.store {
        spec.volumes.get_or_insert_default().push(store_volume(pipeline));
    }
    PodSpec {
        containers: vec![container(pipeline, web, images)],
        topology_spread_constraints: Some(
            ["kubernetes.io/hostname", "topology.kubernetes.io/zone"].map(|key| spread(pipeline, key)).into(),
        ),
        ..spec
    }
}

fn container(pipeline: &Pipeline, web: &Web, images: &Images) -> Container {
    let mut container = Container {
        env: Some(environment::web(pipeline, web, HTTP_PORT)),
        ports: Some(vec![pod::port(HTTP, HTTP_PORT)]),
        liveness_probe: Some(pod::probe("/healthz", HTTP, 10, 3)),
        // A version that cannot publish takes nobody's place, however long it tries.
        startup_probe: Some(pod::probe("/readyz", HTTP, 1, i32::MAX)),
        // Once it could, it stays reachable while the broker is away: clients get an honest 503, and results.
        readiness_probe: Some(pod::probe("/readyz?exclude=publishing", HTTP, 1, 3)),
        resources: Some(pod::resources("100m", "64Mi", Some("512Mi"))),
        ..pod::container(Side::Web.container(), &images.web_service)
    };
    match web.store {
        Store::Sqlite { .. } => {
            container.volume_mounts.get_or_insert_default().push(pod::mount(STORE, STORE_DIRECTORY))
        }
        Store::Postgres(_) => container.lifecycle = Some(drain()),
    }
    container
}

/// Useful only where another replica takes over; a single one would just be away for longer.
fn drain() -> Lifecycle {
    let sleep = SleepAction { seconds: DRAIN_SECONDS };
    Lifecycle {
        pre_stop: Some(LifecycleHandler { sleep: Some(sleep), ..LifecycleHandler::default() }),
        ..Lifecycle::default()
    }
}

fn store_volume(pipeline: &Pipeline) -> Volume {
    let claim = PersistentVolumeClaimVolumeSource { claim_name: labels::store_name(&pipeline.name), read_only: None };
    Volume { name: STORE.into(), persistent_volume_claim: Some(claim), ..Volume::default() }
}

/// Replicas apart where possible: the loss of one node or zone should not be the loss of the web side.
fn spread(pipeline: &Pipeline, topology_key: &str) -> TopologySpreadConstraint {
    TopologySpreadConstraint {
        max_skew: 1,
        topology_key: topology_key.to_owned(),
        when_unsatisfiable: "ScheduleAnyway".into(),
        label_selector: Some(metadata::selector(pipeline, Side::Web)),
        ..TopologySpreadConstraint::default()
    }
}

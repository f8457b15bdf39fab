//! The processors, validated.

use super::{Invalid, read_duration, read_number, template};
use crate::crd::{
    handler::{self, DemoHandler, ExecHandler, HttpHandler},
    processor::{ProcessorSpec, Retry},
    scaling::{self, ScalingMode},
};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use std::time::Duration;
use warren_messaging::retry::RetryPolicy;

/// The container of an http handler.
pub const HANDLER: &str = "handler";

/// The backlog per replica that calls for one more, when the user names no target.
const BACKLOG_PER_REPLICA: u32 = 10;

/// The processors that Warren runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Processor {
    /// What does the work.
    pub handler: Handler,
    /// How many requests one replica works on at a time.
    pub concurrency: u32,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// How the number of replicas follows the work.
    pub scaling: Scaling,
    /// What the user merges over the pods.
    pub template: Option<PodTemplateSpec>,
}

/// What does the work.
#[derive(Clone, Debug, PartialEq)]
pub enum Handler {
    /// The user's container answers a POST.
    Http(HttpHandler),
    /// A command in the user's image.
    Exec(ExecHandler),
    /// A stand-in.
    Demo {
        /// How long each request takes.
        delay: Duration,
    },
}

/// Who counts the replicas, and how.
#[derive(Clone, Debug, PartialEq)]
pub enum Scaling {
    /// Warren, from the waiting requests.
    Backlog {
        /// Fewest replicas.
        min_replicas: u32,
        /// Most replicas.
        max_replicas: u32,
        /// What calls for one more.
        target: ScalingTarget,
        /// How long there is no work before the last replica goes.
        idle: Duration,
    },
    /// Whoever writes `spec.processor.replicas`; this many at present.
    External(u32),
}

/// What the number of replicas is aimed at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScalingTarget {
    /// This many requests, waiting or in work, call for one replica.
    BacklogPerReplica(u32),
    /// The backlog should be worked off within this time.
    DrainWithin(Duration),
}

pub(super) fn validate(spec: &ProcessorSpec) -> Result<Option<Processor>, Invalid> {
    if !spec.managed {
        return Ok(None);
    }
    Ok(Some(Processor {
        handler: handler(&spec.handler)?,
        concurrency: read_number("spec.processor.concurrency", spec.concurrency, "write 1 or more")?.max(1),
        timeout: read_duration("spec.processor.timeout", &spec.timeout)?,
        scaling: scaling(&spec.scaling, spec.replicas)?,
        template: read_template(spec)?,
    }))
}

/// The http handler is a sidecar, which Kubernetes has among the init containers: under `containers`, what is meant for
/// it would make another one without an image.
fn read_template(spec: &ProcessorSpec) -> Result<Option<PodTemplateSpec>, Invalid> {
    let template = template::read("spec.processor.template", spec.template.as_ref())?;
    let containers = template.iter().filter_map(|template| template.spec.as_ref()).flat_map(|pod| &pod.containers);
    let misplaced = containers.into_iter().position(|container| container.name == HANDLER && container.image.is_none());
    match misplaced {
        Some(index) if spec.handler.http.is_some() => Err(Invalid::Template {
            field: format!("spec.processor.template.spec.containers[{index}]"),
            problem: "the http handler is a sidecar: write what is meant for it under spec.initContainers".into(),
        }),
        _ => Ok(template),
    }
}

pub(super) fn retry(retry: &Retry) -> Result<RetryPolicy, Invalid> {
    Ok(RetryPolicy {
        max_attempts: read_number("spec.processor.retry.maxAttempts", retry.max_attempts, "write 1 or more")?.max(1),
        initial_delay: read_duration("spec.processor.retry.initialDelay", &retry.initial_delay)?,
        factor: read_number("spec.processor.retry.factor", retry.factor, "write 1 or more")?.max(1),
        max_delay: read_duration("spec.processor.retry.maxDelay", &retry.max_delay)?,
    })
}

fn handler(handler: &handler::Handler) -> Result<Handler, Invalid> {
    match (&handler.http, &handler.exec, &handler.demo) {
        (Some(http), None, None) => Ok(Handler::Http(http.clone())),
        (None, Some(exec), None) => Ok(Handler::Exec(exec.clone())),
        (None, None, Some(demo)) => demo_handler(demo),
        _ => Err(Invalid::NotExactlyOne { field: "spec.processor.handler", choices: "http, exec and demo" }),
    }
}

fn demo_handler(demo: &DemoHandler) -> Result<Handler, Invalid> {
    Ok(Handler::Demo { delay: read_duration("spec.processor.handler.demo.delay", &demo.delay)? })
}

fn scaling(scaling: &scaling::Scaling, replicas: Option<i32>) -> Result<Scaling, Invalid> {
    let count = |field, given| read_number(field, given, "write 0 or more");
    let min_replicas = count("spec.processor.scaling.minReplicas", scaling.min_replicas)?;
    if scaling.mode == ScalingMode::External {
        let replicas = replicas.map(|replicas| count("spec.processor.replicas", replicas)).transpose()?;
        return Ok(Scaling::External(replicas.unwrap_or(min_replicas)));
    }
    Ok(Scaling::Backlog {
        min_replicas,
        max_replicas: count("spec.processor.scaling.maxReplicas", scaling.max_replicas)?,
        target: target(scaling)?,
        idle: Duration::from_secs(count("spec.processor.scaling.idleSeconds", scaling.idle_seconds)?.into()),
    })
}

fn target(scaling: &scaling::Scaling) -> Result<ScalingTarget, Invalid> {
    let field = "spec.processor.scaling";
    match (scaling.backlog_per_replica, scaling.drain_seconds) {
        (None, None) => Ok(ScalingTarget::BacklogPerReplica(BACKLOG_PER_REPLICA)),
        (Some(backlog), None) => {
            Ok(ScalingTarget::BacklogPerReplica(read_number(field, backlog, "write 1 or more")?.max(1)))
        }
        (None, Some(seconds)) => {
            let seconds = read_number(field, seconds, "write 1 or more")?.max(1);
            Ok(ScalingTarget::DrainWithin(Duration::from_secs(seconds.into())))
        }
        (Some(_), Some(_)) => Err(Invalid::NotExactlyOne { field, choices: "backlogPerReplica and drainSeconds" }),
    }
}

//! `spec.processor`: the side that runs the user's code.

use super::{
    handler::Handler,
    scaling::Scaling,
    schema::{self, PodTemplate},
};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use warren_messaging::duration::PATTERN;

/// The side that runs your code on each request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[has(self.handler.http), has(self.handler.exec), has(self.handler.demo)].filter(given, given).size() in (self.managed ? [1] : [0, 1])")
        .message("say what does the work: set exactly one of handler.http, handler.exec and handler.demo (or none, with managed: false, when somebody else's service reads the requests)"),
    validation = Rule::new("self.scaling.mode != 'External' || has(self.replicas)")
        .message("scaling.mode External leaves the number of replicas to others: set processor.replicas to the number to begin with, or use mode Backlog")
)]
pub struct ProcessorSpec {
    /// Whether Warren runs the processors. With false somebody else's service reads requests and publishes results.
    /// Default: true.
    #[serde(default = "schema::yes")]
    pub managed: bool,

    /// How many replicas run while scaling.mode is External; written by kubectl scale or another autoscaler. Ignored in
    /// mode Backlog.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub replicas: Option<i32>,

    /// What does the work: exactly one of http, exec and demo.
    #[serde(default)]
    pub handler: Handler,

    /// How many requests one replica works on at a time. Default: 1.
    #[serde(default = "default_concurrency")]
    #[schemars(range(min = 1, max = 1000))]
    pub concurrency: i32,

    /// How long one attempt may take, such as 90s or 5m; below 30m. Default: 5m.
    #[serde(default = "default_timeout")]
    #[schemars(length(max = 32), regex(pattern = PATTERN))]
    #[x_kube(
        validation = Rule::new(format!("{0} > duration('0s') && {0} < duration('30m')", schema::duration("self")))
            .message("timeout must be above 0s and below 30m, after which RabbitMQ takes a request away from its worker (consumer_timeout): shorten it, or split the work into smaller requests")
    )]
    pub timeout: String,

    /// When a request that failed for now is tried again.
    #[serde(default)]
    #[x_kube(
        validation = Rule::new(format!("{0} > duration('0s') && {0} <= {1}", schema::duration("self.initialDelay"), schema::duration("self.maxDelay")))
            .message("retry.initialDelay must be above 0s and not above retry.maxDelay: lower the one or raise the other"),
        validation = Rule::new(format!("{} <= duration('168h')", schema::duration("self.maxDelay")))
            .message("retry.maxDelay must not exceed a week: write at most 7d")
    )]
    pub retry: Retry,

    /// How the number of replicas follows the work.
    #[serde(default)]
    #[x_kube(
        validation = Rule::new("self.minReplicas <= self.maxReplicas")
            .message("scaling.minReplicas is above scaling.maxReplicas: lower the one or raise the other"),
        validation = Rule::new("!(has(self.backlogPerReplica) && has(self.drainSeconds))")
            .message("scaling.backlogPerReplica and scaling.drainSeconds exclude each other: remove one of them")
    )]
    pub scaling: Scaling,

    /// A partial PodTemplateSpec that is merged over the processor pods: node selectors, volumes, resources, sidecars. The
    /// processor's container is named processor; that of an http handler is named handler, and is an init container since
    /// it is a sidecar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::pod_template")]
    pub template: Option<PodTemplate>,
}

fn default_concurrency() -> i32 {
    1
}

fn default_timeout() -> String {
    "5m".into()
}

/// When a request that failed for now is tried again: the pause grows by the factor from attempt to attempt, up to the
/// longest delay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Retry {
    /// Attempts per request, the first included; 1 means no retry. Default: 5.
    #[schemars(range(min = 1, max = 100))]
    pub max_attempts: i32,

    /// Pause after the first attempt, such as 500ms or 1s. Default: 1s.
    #[schemars(length(max = 32), regex(pattern = PATTERN))]
    pub initial_delay: String,

    /// By what the pause grows from attempt to attempt. Default: 4.
    #[schemars(range(min = 1, max = 100))]
    pub factor: i32,

    /// The longest pause, such as 5m; at most 7d. Default: 5m.
    #[schemars(length(max = 32), regex(pattern = PATTERN))]
    pub max_delay: String,
}

impl Default for Retry {
    fn default() -> Self {
        Self { max_attempts: 5, initial_delay: "1s".into(), factor: 4, max_delay: "5m".into() }
    }
}

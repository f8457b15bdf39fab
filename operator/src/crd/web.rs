//! `spec.web`: the side that accepts requests and keeps their results.

use super::{
    broker::SecretKeyRef,
    schema::{self, PodTemplate},
};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use warren_messaging::duration::PATTERN;

/// The side that accepts requests over HTTP and keeps their results.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!(has(self.replicas) && has(self.autoscaling))")
        .message("web.replicas and web.autoscaling exclude each other: remove one of them"),
    validation = Rule::new("!has(self.store.sqlite) || (!has(self.autoscaling) && (!has(self.replicas) || self.replicas <= 1))")
        .message("web.store.sqlite lives on one volume and serves one replica: leave web.replicas at 1 and web.autoscaling out, or use web.store.postgres")
)]
pub struct WebSpec {
    /// Whether Warren runs the web side. With false somebody else's service publishes requests and reads results.
    /// Default: true.
    #[serde(default = "schema::yes")]
    pub managed: bool,

    /// How many replicas run. Default: 1. Excludes autoscaling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub replicas: Option<i32>,

    /// Lets Kubernetes count the replicas by their CPU use. Needs web.store.postgres. Excludes replicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(
        validation = Rule::new("self.minReplicas <= self.maxReplicas")
            .message("autoscaling.minReplicas is above autoscaling.maxReplicas: lower the one or raise the other")
    )]
    pub autoscaling: Option<WebAutoscaling>,

    /// Where requests and their results are recorded: exactly one of sqlite and postgres. Default: sqlite.
    #[serde(default)]
    #[x_kube(
        validation = Rule::new("has(self.sqlite) != has(self.postgres)")
            .message("choose exactly one store: web.store.sqlite or web.store.postgres")
    )]
    pub store: Store,

    /// How long finished requests can be asked for, such as 90s, 24h or 7d. Default: 24h.
    #[serde(default = "default_retention")]
    #[schemars(length(max = 32), regex(pattern = PATTERN))]
    #[x_kube(
        validation = Rule::new(format!("{0} > duration('0s') && {0} <= duration('87600h')", schema::duration("self")))
            .message("retention must be above 0s, or no client could fetch its result, and at most 87600h (ten years): write for example 24h")
    )]
    pub retention: String,

    /// How long failed requests and their dead letters are kept, so that they can be replayed. Default: 336h (two
    /// weeks). Not shorter than retention, which counts if it is longer.
    #[serde(default = "default_dead_letter_retention")]
    #[schemars(length(max = 32), regex(pattern = PATTERN))]
    #[x_kube(
        validation = Rule::new(format!("{0} > duration('0s') && {0} <= duration('87600h')", schema::duration("self")))
            .message("deadLetterRetention must be above 0s, or nothing could be replayed, and at most 87600h (ten years): write for example 336h")
    )]
    pub dead_letter_retention: String,

    /// Longest accepted request body, in bytes. Default: 1048576 (1 MiB). At most 15728640 (15 MiB), since RabbitMQ takes
    /// messages of 16 MiB.
    #[serde(default = "default_max_body_bytes")]
    #[schemars(range(min = 1, max = 15_728_640))]
    pub max_body_bytes: i64,

    /// A partial PodTemplateSpec that is merged over the web pods: node selectors, volumes, resources, sidecars. The
    /// container is named web-service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::pod_template")]
    pub template: Option<PodTemplate>,
}

fn default_retention() -> String {
    "24h".into()
}

fn default_dead_letter_retention() -> String {
    "336h".into()
}

fn default_max_body_bytes() -> i64 {
    1_048_576
}

impl Default for WebSpec {
    fn default() -> Self {
        Self {
            managed: schema::yes(),
            replicas: None,
            autoscaling: None,
            store: Store::default(),
            retention: default_retention(),
            dead_letter_retention: default_dead_letter_retention(),
            max_body_bytes: default_max_body_bytes(),
            template: None,
        }
    }
}

/// Bounds and target of the HorizontalPodAutoscaler on the web side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct WebAutoscaling {
    /// Fewest replicas. Default: 2.
    #[schemars(range(min = 1, max = 1000))]
    pub min_replicas: i32,

    /// Most replicas. Default: 10.
    #[schemars(range(min = 1, max = 1000))]
    pub max_replicas: i32,

    /// Average CPU use that is aimed at, in percent of what the pods request. Default: 80.
    #[serde(rename = "targetCPUUtilizationPercentage")]
    #[schemars(range(min = 1, max = 1000))]
    pub target_cpu_utilization_percentage: i32,
}

impl Default for WebAutoscaling {
    fn default() -> Self {
        Self { min_replicas: 2, max_replicas: 10, target_cpu_utilization_percentage: 80 }
    }
}

/// Where requests and their results are recorded: exactly one of the two.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Store {
    /// A file on a volume of its own; serves one replica.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sqlite: Option<Sqlite>,

    /// A PostgreSQL database of yours; serves any number of replicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postgres: Option<Postgres>,
}

impl Default for Store {
    fn default() -> Self {
        Self { sqlite: Some(Sqlite::default()), postgres: None }
    }
}

/// A file on a volume of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Sqlite {
    /// Size of the volume, such as 500Mi or 1Gi. Default: 1Gi. May grow where the storage class allows it, never shrink.
    #[schemars(length(max = 32), regex(pattern = r"^[1-9][0-9]*(\.[0-9]+)?(k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$"))]
    pub size: String,
}

impl Default for Sqlite {
    fn default() -> Self {
        Self { size: "1Gi".into() }
    }
}

/// A PostgreSQL database.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Postgres {
    /// The secret that holds the database's address, postgres://user:password@host:5432/database.
    pub secret_ref: SecretKeyRef,
}

//! `status`: what Warren found and did. Written by the operator only.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// What Warren found and did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PipelineStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Ready, TopologyReady, WebAvailable, ProcessorAvailable and ScalingActive, each with its reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,

    /// The web side's replicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub web: Option<SideStatus>,

    /// The processors' replicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processor: Option<SideStatus>,

    /// About how many requests wait for a processor; rounded, and refreshed now and then. Metrics have it exactly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backlog: Option<i64>,

    /// The retry delays that have a queue on the broker: those of the spec, and earlier ones until they are empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retry_tiers: Vec<String>,

    /// Where to send requests, from inside the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
}

/// The replicas of one side.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SideStatus {
    /// How many are asked for.
    #[serde(default)]
    pub desired_replicas: i32,

    /// How many there are.
    #[serde(default)]
    pub replicas: i32,

    /// How many are ready.
    #[serde(default)]
    pub ready_replicas: i32,

    /// Which labels their pods carry, as kubectl and autoscalers read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
}

/// Kubernetes' own condition type, without the pages of prose its schema would bring along.
fn conditions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "items": {
            "type": "object",
            "required": ["type", "status", "lastTransitionTime", "reason", "message"],
            "properties": {
                "type": {"type": "string", "maxLength": 316},
                "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
                "observedGeneration": {"type": "integer", "format": "int64"},
                "lastTransitionTime": {"type": "string", "format": "date-time"},
                "reason": {"type": "string", "maxLength": 1024},
                "message": {"type": "string", "maxLength": 32768},
            },
        },
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
    })
}

//! The resource that users write: `ProcessingPipeline`, as Kubernetes stores it.
//!
//! Fields stand in the order of a `pipeline.yaml`. What the schema says here (types, ranges, defaults and CEL
//! rules) is what the API server, the controller and files on disk are held to; [`schema`] is its one source.

pub mod broker;
pub mod handler;
pub mod processor;
pub mod scaling;
pub mod schema;
pub mod status;
pub mod topology;
pub mod web;

#[cfg(test)]
mod tests;

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

/// What one pipeline consists of: where its broker is, how its queues look, and its two sides.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "warren.dev",
    version = "v1alpha1",
    kind = "ProcessingPipeline",
    plural = "processingpipelines",
    shortname = "pp",
    namespaced,
    status = "status::PipelineStatus",
    derive = "PartialEq",
    cel,
    doc = "A durable work queue over HTTP: requests are accepted by the web side, wait in RabbitMQ, and are worked on by \
           processors that run your code.",
    scale(
        spec_replicas_path = ".spec.processor.replicas",
        status_replicas_path = ".status.processor.replicas",
        label_selector_path = ".status.processor.selector"
    ),
    printcolumn(
        name = "READY",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#,
        description = "Whether requests are accepted and worked on"
    ),
    printcolumn(
        name = "WEB",
        type_ = "integer",
        json_path = ".status.web.readyReplicas",
        description = "Web replicas that are ready"
    ),
    printcolumn(
        name = "PROCESSORS",
        type_ = "integer",
        json_path = ".status.processor.replicas",
        description = "Processor replicas"
    ),
    printcolumn(
        name = "BACKLOG",
        type_ = "integer",
        json_path = ".status.backlog",
        description = "About how many requests wait for a processor"
    ),
    printcolumn(name = "AGE", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$') && size(self.metadata.name) <= 50")
        .message("metadata.name becomes part of other names (such as <name>-processor): start it with a letter, use only a-z, 0-9 and -, end it with a letter or digit, and keep it within 50 characters"),
    validation = Rule::new("(has(self.spec.topology.exchange) ? self.spec.topology.exchange : self.metadata.name) == (has(oldSelf.spec.topology.exchange) ? oldSelf.spec.topology.exchange : oldSelf.metadata.name)")
        .message("spec.topology.exchange cannot change, because waiting requests would stay behind: put the old value back, or create a second pipeline with the new exchange and delete this one once its queues are empty")
)]
#[serde(rename_all = "camelCase")]
pub struct ProcessingPipelineSpec {
    /// How to reach RabbitMQ.
    pub broker: broker::Broker,

    /// The exchange and queues that this pipeline keeps on the broker.
    #[serde(default)]
    #[x_kube(
        validation = Rule::new("!has(self.exchange) || !self.exchange.startsWith('amq.')")
            .message("names that start with amq. belong to RabbitMQ itself: choose another topology.exchange"),
        validation = Rule::new("self.queueType == oldSelf.queueType")
            .message("topology.queueType cannot change, because RabbitMQ cannot convert a queue: put the old value back, or create a second pipeline with the new type and delete this one once its queues are empty")
    )]
    pub topology: topology::TopologySpec,

    /// The side that accepts requests over HTTP and keeps their results.
    #[serde(default)]
    pub web: web::WebSpec,

    /// The side that runs your code on each request.
    pub processor: processor::ProcessorSpec,
}

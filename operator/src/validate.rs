//! From the resource as it was written to a [`Pipeline`] that later steps cannot misuse.
//!
//! The schema and its CEL rules refuse most mistakes before this runs. What is checked here is what they cannot say
//! (a template must be a pod template), and once more what the types below have no room for.

mod processor;
mod size;
mod template;
mod web;

pub use processor::{HANDLER, Handler, Processor, Scaling, ScalingTarget};
pub use web::{Store, Web, WebReplicas};

use crate::crd::{
    ProcessingPipeline,
    broker::SecretKeyRef,
    topology::{DeletionPolicy, JournalSpec, TopologySpec},
};
use std::time::Duration;
use warren_messaging::{
    duration::{self, NotADuration},
    retry::RetryPolicy,
    topology::{Journal, Topology},
};

/// A validated pipeline: everything that building, declaring and scaling need to know.
#[derive(Clone, Debug, PartialEq)]
pub struct Pipeline {
    /// The resource's name; all objects are named after it.
    pub name: String,
    /// The namespace, if one is known.
    pub namespace: Option<String>,
    /// The uid that the API server gave it; a pipeline from a file has none.
    pub uid: Option<String>,
    /// Where RabbitMQ's address is.
    pub broker: SecretKeyRef,
    /// Where the certificates are that RabbitMQ's own is checked against, unless the system's do.
    pub broker_ca: Option<SecretKeyRef>,
    /// What the broker must hold.
    pub topology: Topology,
    /// What happens to that when the pipeline is deleted.
    pub deletion_policy: DeletionPolicy,
    /// The web side, unless somebody else runs it.
    pub web: Option<Web>,
    /// The processors, unless somebody else runs them.
    pub processor: Option<Processor>,
}

/// Why a resource is no pipeline. Each text begins with the field.
#[derive(Debug, thiserror::Error)]
pub enum Invalid {
    /// The resource has no name.
    #[error("metadata.name: missing; every pipeline needs a name")]
    NoName,
    /// A duration that cannot be read.
    #[error("{field}: {source}")]
    Duration {
        /// Where it stands.
        field: &'static str,
        /// What is wrong with it.
        source: NotADuration,
    },
    /// A size in bytes that cannot be read.
    #[error("{field}: `{given}` is not a size: write a whole number with a unit, such as 500Mi or 10Gi")]
    Size {
        /// Where it stands.
        field: &'static str,
        /// What was written.
        given: String,
    },
    /// A number outside its range.
    #[error("{field}: {given} is not possible; {expected}")]
    Number {
        /// Where it stands.
        field: &'static str,
        /// What was written.
        given: i64,
        /// What can be written.
        expected: &'static str,
    },
    /// None or more than one of several choices.
    #[error("{field}: choose exactly one of {choices}")]
    NotExactlyOne {
        /// Where the choice is made.
        field: &'static str,
        /// What there is to choose from.
        choices: &'static str,
    },
    /// A template that is no pod template.
    #[error(
        "{field}: {problem}; it takes what spec.template of a Deployment takes (kubectl explain deployment.spec.template)"
    )]
    Template {
        /// Where in the template.
        field: String,
        /// What is wrong there.
        problem: String,
    },
}

/// Reads a resource.
///
/// # Errors
/// Everything that keeps it from being a pipeline.
pub fn validate(resource: &ProcessingPipeline) -> Result<Pipeline, Vec<Invalid>> {
    let (mut invalid, spec) = (Vec::new(), &resource.spec);
    let name = keep(name(resource), &mut invalid);
    let retry = keep(processor::retry(&spec.processor.retry), &mut invalid);
    let journal = keep(spec.topology.journal.as_ref().map(journal).transpose(), &mut invalid);
    let web = keep(web::validate(&spec.web), &mut invalid);
    let processor = keep(processor::validate(&spec.processor), &mut invalid);
    let (Some(name), Some(retry), Some(journal), Some(web), Some(processor)) = (name, retry, journal, web, processor)
    else {
        return Err(invalid);
    };
    Ok(Pipeline {
        topology: Topology { journal, ..topology(&spec.topology, &name, retry, web.is_some()) },
        name,
        namespace: resource.metadata.namespace.clone(),
        uid: resource.metadata.uid.clone(),
        broker: spec.broker.secret_ref.clone(),
        broker_ca: spec.broker.ca_secret_ref.clone(),
        deletion_policy: spec.topology.deletion_policy,
        web,
        processor,
    })
}

fn keep<T>(outcome: Result<T, Invalid>, invalid: &mut Vec<Invalid>) -> Option<T> {
    outcome.map_err(|reason| invalid.push(reason)).ok()
}

fn name(resource: &ProcessingPipeline) -> Result<String, Invalid> {
    resource.metadata.name.clone().filter(|name| !name.is_empty()).ok_or(Invalid::NoName)
}

fn topology(spec: &TopologySpec, name: &str, retry: RetryPolicy, web_managed: bool) -> Topology {
    Topology {
        exchange: spec.exchange.clone().unwrap_or_else(|| name.to_owned()),
        queue_type: spec.queue_type.into(),
        max_length: spec.max_length.and_then(|length| u64::try_from(length).ok()),
        retry,
        web_managed,
        journal: None,
    }
}

fn journal(spec: &JournalSpec) -> Result<Journal, Invalid> {
    let field = "spec.topology.journal.maxBytes";
    Ok(Journal {
        retention: read_duration("spec.topology.journal.retention", &spec.retention)?,
        max_bytes: size::read(&spec.max_bytes).ok_or_else(|| Invalid::Size { field, given: spec.max_bytes.clone() })?,
    })
}

fn read_duration(field: &'static str, text: &str) -> Result<Duration, Invalid> {
    duration::parse(text).map_err(|source| Invalid::Duration { field, source })
}

/// A number that is never negative, as the type that later steps count with.
fn read_number(field: &'static str, given: i32, expected: &'static str) -> Result<u32, Invalid> {
    u32::try_from(given).map_err(|_| Invalid::Number { field, given: given.into(), expected })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use warren_messaging::topology::QueueType;

    fn resource(spec: serde_json::Value) -> ProcessingPipeline {
        let mut whole = json!({"broker": {"secretRef": {"name": "rabbitmq", "key": "url"}}});
        whole.as_object_mut().expect("an object").append(&mut spec.as_object().expect("an object").clone());
        ProcessingPipeline::new("thumbnails", serde_json::from_value(whole).expect("a spec"))
    }

    #[test]
    fn a_minimal_pipeline_gets_every_default() {
        let pipeline = validate(&resource(json!({"processor": {"handler": {"demo": {}}}}))).expect("valid");
        assert_eq!(pipeline.topology, Topology::named("thumbnails"));
        let (web, processor) = (pipeline.web.expect("managed"), pipeline.processor.expect("managed"));
        assert_eq!(web.store, Store::Sqlite { size: "1Gi".into() });
        assert_eq!(web.replicas, WebReplicas::Fixed(1));
        assert_eq!(processor.handler, Handler::Demo { delay: Duration::from_secs(5) });
        assert_eq!(processor.timeout, Duration::from_secs(300));
        assert_eq!(
            processor.scaling,
            Scaling::Backlog {
                min_replicas: 0,
                max_replicas: 20,
                target: ScalingTarget::BacklogPerReplica(10),
                idle: Duration::from_secs(30)
            }
        );
    }

    #[test]
    fn a_topology_is_taken_as_written() {
        let pipeline = validate(&resource(json!({
            "topology": {
                "exchange": "images", "queueType": "classic", "maxLength": 7, "deletionPolicy": "Delete",
                "journal": {"maxBytes": "500Mi"},
            },
            "web": {"managed": false},
            "processor": {"managed": false, "retry": {"maxAttempts": 2, "initialDelay": "10s"}},
        })))
        .expect("valid");
        assert_eq!(pipeline.topology.exchange, "images");
        assert_eq!(pipeline.topology.queue_type, QueueType::Classic);
        assert_eq!(pipeline.topology.max_length, Some(7));
        assert_eq!(pipeline.topology.retry.max_attempts, 2);
        let journal = Journal { retention: Duration::from_secs(7 * 86_400), max_bytes: 500 << 20 };
        assert_eq!(pipeline.topology.journal, Some(journal));
        assert!(!pipeline.topology.web_managed);
        assert_eq!((pipeline.web, pipeline.processor), (None, None));
    }

    #[test]
    fn what_is_meant_for_an_http_handler_is_not_taken_for_another_container() {
        let template = json!({"spec": {"containers": [{"name": "processor"}, {"name": "handler"}]}});
        let http = json!({"http": {"image": "i", "port": 8000}});
        let invalid = validate(&resource(json!({"processor": {"handler": http, "template": template}})));
        let text = invalid.expect_err("invalid")[0].to_string();
        assert!(
            text.starts_with("spec.processor.template.spec.containers[1]: the http handler is a sidecar"),
            "{text}"
        );
        let demo = json!({"processor": {"handler": {"demo": {}}, "template": template}});
        assert!(validate(&resource(demo)).is_ok(), "somebody's own");
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let mut resource = resource(json!({
            "web": {"retention": "1w", "template": {"spec": {"nodeSelecter": {}}}},
            "processor": {"handler": {}, "retry": {"maxDelay": "soon"}},
        }));
        resource.metadata.name = None;
        let invalid = validate(&resource).expect_err("invalid");
        let texts: Vec<_> = invalid.iter().map(ToString::to_string).collect();
        assert_eq!(texts.len(), 4, "{texts:#?}");
        for (text, field) in texts.iter().zip(["metadata.name", "spec.processor.retry.maxDelay", "spec.web.retention"])
        {
            assert!(text.starts_with(&format!("{field}: ")), "{text}");
        }
    }
}

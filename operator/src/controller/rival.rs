//! Two pipelines on one exchange would take each other's messages. The older one keeps it.

use crate::crd::ProcessingPipeline;
use kube::ResourceExt as _;
use warren_messaging::broker::Broker;

/// Whether `other` has the better claim on an exchange that both name: it was created earlier, or in the same second
/// under the smaller name.
#[must_use]
pub fn is_older(other: &ProcessingPipeline, pipeline: &ProcessingPipeline) -> bool {
    let age = |pipeline: &ProcessingPipeline| {
        (pipeline.creation_timestamp(), pipeline.namespace(), pipeline.metadata.name.clone())
    };
    other.metadata.uid != pipeline.metadata.uid && age(other) < age(pipeline)
}

/// The name of the exchange that a pipeline works on.
#[must_use]
pub fn exchange(pipeline: &ProcessingPipeline) -> &str {
    let named = pipeline.spec.topology.exchange.as_deref();
    named.or(pipeline.metadata.name.as_deref()).unwrap_or_default()
}

/// Whether two addresses lead to one virtual host of one broker. Two names of one host look like two brokers; AMQP
/// has no identity to compare.
#[must_use]
pub fn is_same_vhost(one: &Broker, other: &Broker) -> bool {
    (one.host_and_port(), one.url.vhost()) == (other.host_and_port(), other.url.vhost())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pipeline(name: &str, created: &str, topology: serde_json::Value) -> ProcessingPipeline {
        serde_json::from_value(json!({
            "apiVersion": "warren.dev/v1alpha1", "kind": "ProcessingPipeline",
            "metadata": {"name": name, "namespace": "n", "uid": name, "creationTimestamp": created},
            "spec": {"broker": {"secretRef": {"name": "r", "key": "url"}}, "topology": topology,
                "processor": {"handler": {"demo": {}}}},
        }))
        .expect("a pipeline")
    }

    #[test]
    fn the_older_pipeline_keeps_the_exchange_and_the_smaller_name_decides_a_tie() {
        let old = pipeline("z", "2026-01-01T00:00:00Z", json!({}));
        let young = pipeline("a", "2026-01-01T00:00:01Z", json!({}));
        let twin = pipeline("b", "2026-01-01T00:00:01Z", json!({}));
        assert!(is_older(&old, &young) && !is_older(&young, &old));
        assert!(is_older(&young, &twin) && !is_older(&twin, &young));
        assert!(!is_older(&old, &old));
    }

    #[test]
    fn an_exchange_is_named_or_has_the_pipelines_name() {
        assert_eq!(exchange(&pipeline("p", "2026-01-01T00:00:00Z", json!({}))), "p");
        assert_eq!(exchange(&pipeline("p", "2026-01-01T00:00:00Z", json!({"exchange": "x"}))), "x");
    }

    #[test]
    fn the_login_does_not_matter_to_where_an_address_leads() {
        let url = |text: &str| text.parse::<Broker>().expect("an address");
        assert!(is_same_vhost(&url("amqp://a:b@h/"), &url("amqp://c:d@h:5672/%2f")));
        assert!(!is_same_vhost(&url("amqp://h/a"), &url("amqp://h/b")));
        let elsewhere = Broker { looked_up_as: Some("h.n.svc".into()), ..url("amqp://h/a") };
        assert!(!is_same_vhost(&url("amqp://h/a"), &elsewhere));
        assert!(is_same_vhost(&url("amqp://h.n.svc/a"), &elsewhere));
    }
}

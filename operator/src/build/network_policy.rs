//! Who may reach the pods. What they themselves reach (the broker, a database, whatever the handler needs) is not
//! restricted: only the user knows it. Clusters whose network does not enforce policies ignore these.

use super::{metadata, processor_deployment::HEALTH, web_deployment::HTTP};
use crate::{labels::Side, validate::Pipeline};
use k8s_openapi::{
    api::networking::v1::{NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPort, NetworkPolicySpec},
    apimachinery::pkg::util::intstr::IntOrString,
};

/// Everybody may send requests.
pub(super) fn web(pipeline: &Pipeline) -> NetworkPolicy {
    ingress(pipeline, Side::Web, HTTP)
}

/// The handler of a processor does whatever a request says, so only the processor itself may ask it (over loopback,
/// which no policy sees).
pub(super) fn processor(pipeline: &Pipeline) -> NetworkPolicy {
    ingress(pipeline, Side::Processor, HEALTH)
}

fn ingress(pipeline: &Pipeline, side: Side, port: &str) -> NetworkPolicy {
    let port = NetworkPolicyPort { port: Some(IntOrString::String(port.into())), ..NetworkPolicyPort::default() };
    NetworkPolicy {
        metadata: metadata::owned(pipeline, side),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(metadata::selector(pipeline, side)),
            policy_types: Some(vec!["Ingress".into()]),
            ingress: Some(vec![NetworkPolicyIngressRule { ports: Some(vec![port]), from: None }]),
            ..NetworkPolicySpec::default()
        }),
    }
}

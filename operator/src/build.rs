//! From a validated pipeline to the Kubernetes objects that run it. Pure: the same pipeline always gives the same
//! objects, whoever asks (the controller, `render` or `local`).

pub mod environment;
pub mod expansion;
pub(crate) mod handler;
mod metadata;
mod network_policy;
mod pod;
mod processor_deployment;
mod service_account;
mod web_autoscaler;
mod web_deployment;
mod web_disruption_budget;
mod web_service;
mod web_store;

#[cfg(test)]
mod tests;

use crate::{labels::Side, validate::Pipeline};
use k8s_openapi::api::{
    apps::v1::Deployment,
    autoscaling::v2::HorizontalPodAutoscaler,
    core::v1::{PersistentVolumeClaim, Service, ServiceAccount},
    networking::v1::NetworkPolicy,
    policy::v1::PodDisruptionBudget,
};
use serde::Serialize;
use serde_json::Value;

/// The images of Warren's own programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Images {
    /// That of the web side.
    pub web_service: String,
    /// That of the processors; exec handlers take the program from it into the user's image.
    pub processor: String,
}

impl Default for Images {
    /// The images of this very version.
    fn default() -> Self {
        Self { web_service: WEB_SERVICE_IMAGE.into(), processor: PROCESSOR_IMAGE.into() }
    }
}

/// Image of the web side that belongs to this version.
pub const WEB_SERVICE_IMAGE: &str = concat!("ghcr.io/warren-dev/warren-web-service:", env!("CARGO_PKG_VERSION"));
/// Image of the processors that belongs to this version.
pub const PROCESSOR_IMAGE: &str = concat!("ghcr.io/warren-dev/warren-processor:", env!("CARGO_PKG_VERSION"));

/// All objects of one pipeline. What a pipeline does not need is `None`, and pruned if it exists.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Objects {
    /// Identity of the web pods; it has no rights.
    pub web_service_account: Option<ServiceAccount>,
    /// Volume of a web side with sqlite.
    pub web_store: Option<PersistentVolumeClaim>,
    /// Where clients send requests.
    pub web_service: Option<Service>,
    /// Runs the web side.
    pub web_deployment: Option<Deployment>,
    /// Counts the web replicas, where the user wants that.
    pub web_autoscaler: Option<HorizontalPodAutoscaler>,
    /// Keeps node drains from taking all web replicas at a time.
    pub web_disruption_budget: Option<PodDisruptionBudget>,
    /// Who may reach the web pods, and on which port.
    pub web_network_policy: Option<NetworkPolicy>,
    /// Identity of the processor pods; it has no rights.
    pub processor_service_account: Option<ServiceAccount>,
    /// Runs the processors. It never names a number of replicas: that is written through the scale subresource.
    pub processor_deployment: Option<Deployment>,
    /// Nobody but a scraper of metrics may reach the processor pods, least of all the user's handler in them.
    pub processor_network_policy: Option<NetworkPolicy>,
}

/// Annotation of the pods: which versions of their Secrets they were started with. A pod does not notice a changed
/// secret; a changed annotation makes its Deployment roll.
pub const SECRETS_ANNOTATION: &str = "warren.dev/secrets";

impl Objects {
    /// The same objects, such that the pods of a side are replaced whenever its revision changes.
    #[must_use]
    pub fn with_secrets_revisions(mut self, web: &str, processor: &str) -> Self {
        for (deployment, revision) in [(&mut self.web_deployment, web), (&mut self.processor_deployment, processor)] {
            let Some(deployment) = deployment else { continue };
            let metadata = deployment.spec.template.metadata.get_or_insert_default();
            metadata.annotations.get_or_insert_default().insert(SECRETS_ANNOTATION.into(), revision.into());
        }
        self
    }

    /// The objects as JSON, in the order in which they should be created.
    #[must_use]
    pub fn values(&self) -> Vec<Value> {
        [
            value(self.web_service_account.as_ref()),
            value(self.processor_service_account.as_ref()),
            value(self.web_network_policy.as_ref()),
            value(self.processor_network_policy.as_ref()),
            value(self.web_store.as_ref()),
            value(self.web_service.as_ref()),
            value(self.web_deployment.as_ref()),
            value(self.processor_deployment.as_ref()),
            value(self.web_autoscaler.as_ref()),
            value(self.web_disruption_budget.as_ref()),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

fn value<T: Serialize>(object: Option<&T>) -> Option<Value> {
    object.map(|object| serde_json::to_value(object).expect("Kubernetes' types have string keys and finite numbers"))
}

/// Everything that runs `pipeline`. A side that somebody else runs gets nothing.
#[must_use]
pub fn objects(pipeline: &Pipeline, images: &Images) -> Objects {
    let (web, processor) = (pipeline.web.as_ref(), pipeline.processor.as_ref());
    Objects {
        web_service_account: web.map(|_| service_account::build(pipeline, Side::Web)),
        web_store: web.and_then(|web| web_store::build(pipeline, web)),
        web_service: web.map(|_| web_service::build(pipeline)),
        web_deployment: web.map(|web| web_deployment::build(pipeline, web, images)),
        web_autoscaler: web.and_then(|web| web_autoscaler::build(pipeline, web)),
        web_disruption_budget: web.and_then(|web| web_disruption_budget::build(pipeline, web)),
        web_network_policy: web.map(|_| network_policy::web(pipeline)),
        processor_service_account: processor.map(|_| service_account::build(pipeline, Side::Processor)),
        processor_deployment: processor.map(|processor| processor_deployment::build(pipeline, processor, images)),
        processor_network_policy: processor.map(|_| network_policy::processor(pipeline)),
    }
}

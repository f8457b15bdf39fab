//! What a pipeline comes to on this machine, before anything of it runs.

use super::{
    LocalError,
    broker::Broker,
    pod::{self, PodPlan},
    workspace::Workspace,
};
use crate::{
    build::{self, Images},
    labels,
    manifest::Manifest,
    scaling,
    validate::{Pipeline, Scaling, WebReplicas},
};
use std::path::Path;
use warren_messaging::{broker, settings::AMQP_CA_PEM, topology::Topology};
use warren_scaling::Policy;

/// What a pipeline comes to on this machine; two that are equal run alike.
#[derive(Clone, PartialEq)]
pub struct Plan {
    /// Its name.
    pub name: String,
    /// Where its messages go.
    pub broker: broker::Broker,
    /// What the broker must hold.
    pub topology: Topology,
    /// The web side, and how many replicas of it run.
    pub web: Option<(PodPlan, u32)>,
    /// The processors.
    pub processor: Option<(PodPlan, Count)>,
}

/// How many processors run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Count {
    /// So many.
    Fixed(u32),
    /// As the backlog asks for.
    ByBacklog(Policy),
}

/// What plans are made from, apart from the pipeline itself.
pub struct Site<'a> {
    /// The file, with its Secrets.
    pub manifest: &'a Manifest,
    /// The RabbitMQ of pipelines whose Secret is not in the file.
    pub broker: &'a Broker,
    /// Where volumes are.
    pub workspace: &'a Workspace,
    /// Where Warren's own programs are.
    pub programs: &'a Path,
    /// In which directory the user's programs run.
    pub directory: &'a Path,
    /// Where http handlers already answer.
    pub handler_urls: &'a [(String, String)],
}

impl Plan {
    /// # Errors
    /// The broker's address cannot be read, or a pod cannot run here.
    pub fn new(pipeline: &Pipeline, site: &Site<'_>) -> Result<Self, LocalError> {
        let objects = build::objects(pipeline, &Images::default());
        let handler_url = site.handler_urls.iter().find(|(name, _)| *name == pipeline.name);
        let around = pod::Surroundings {
            manifest: site.manifest,
            namespace: pipeline.namespace.as_deref(),
            broker: site.broker.url(),
            programs: site.programs,
            directory: site.directory,
            volume: &|claim| site.workspace.volume(claim),
            handler_url: handler_url.map(|(_, url)| url.as_str()),
        };
        let pod = |deployment: &_, side| {
            PodPlan::new(deployment, side, &pipeline.name, &around)
                .map_err(|source| LocalError::Pod { pipeline: pipeline.name.clone(), source })
        };
        let web = objects.web_deployment.as_ref().map(|deployment| pod(deployment, labels::Side::Web));
        let processor =
            objects.processor_deployment.as_ref().map(|deployment| pod(deployment, labels::Side::Processor));
        Ok(Self {
            name: pipeline.name.clone(),
            broker: address(pipeline, site)?,
            topology: pipeline.topology.clone(),
            web: web.transpose()?.map(|plan| (plan, web_replicas(pipeline))),
            processor: processor.transpose()?.map(|plan| (plan, count(pipeline))),
        })
    }

    /// Names what a cluster would run besides.
    pub fn tell_left_out(&self) {
        let pods = [self.web.as_ref().map(|(pod, _)| pod), self.processor.as_ref().map(|(pod, _)| pod)];
        for pod in pods.into_iter().flatten().filter(|pod| !pod.left_out.is_empty()) {
            let (name, side, containers) = (&self.name, pod.side, pod.left_out.join(", "));
            tracing::warn!(
                "pipeline `{name}`: containers of spec.{side}.template are not run here: {containers}; start yourself \
                 what is needed of them"
            );
        }
    }

    /// The exchange that it works on.
    #[must_use]
    pub fn exchange(&self) -> &str {
        &self.topology.exchange
    }

    /// Whether a running pipeline of the plan `old` may become this one: its messages stay where they are.
    #[must_use]
    pub fn may_follow(&self, old: &Self) -> bool {
        (&self.topology.exchange, self.topology.queue_type) == (&old.topology.exchange, old.topology.queue_type)
    }
}

fn address(pipeline: &Pipeline, site: &Site<'_>) -> Result<broker::Broker, LocalError> {
    let reference = &pipeline.broker;
    let in_file = site.manifest.secret_value(pipeline.namespace.as_deref(), reference);
    let text = in_file.as_deref().or(site.broker.url());
    // Empty only if the file has lost its Secret while it ran; that reads as no address.
    let url = text.unwrap_or_default().parse().map_err(|source| LocalError::Url {
        pipeline: pipeline.name.clone(),
        secret: reference.name.clone(),
        source,
    })?;
    Ok(broker::Broker { url, ca: certificates(pipeline, site)?, looked_up_as: None })
}

/// From the same places as the workers': the file's Secret, or the environment.
fn certificates(pipeline: &Pipeline, site: &Site<'_>) -> Result<Option<broker::CaBundle>, LocalError> {
    let Some(reference) = &pipeline.broker_ca else { return Ok(None) };
    let in_file = site.manifest.secret_value(pipeline.namespace.as_deref(), reference);
    let text = in_file.or_else(|| std::env::var(AMQP_CA_PEM).ok()).unwrap_or_default();
    let parsed = text.parse().map_err(|source| LocalError::Certificates {
        pipeline: pipeline.name.clone(),
        secret: reference.name.clone(),
        source,
    });
    parsed.map(Some)
}

fn web_replicas(pipeline: &Pipeline) -> u32 {
    let replicas = match pipeline.web.as_ref().map(|web| &web.replicas) {
        Some(WebReplicas::Fixed(replicas)) => *replicas,
        Some(WebReplicas::Autoscaled(autoscaling)) => autoscaling.min_replicas,
        None => 0,
    };
    u32::try_from(replicas).unwrap_or(0)
}

fn count(pipeline: &Pipeline) -> Count {
    match (scaling::policy(pipeline), pipeline.processor.as_ref().map(|processor| &processor.scaling)) {
        (Some(policy), _) => Count::ByBacklog(policy),
        (None, Some(Scaling::External(replicas))) => Count::Fixed(*replicas),
        (None, _) => Count::Fixed(0),
    }
}

//! One pipeline that runs on this machine.

use super::{
    LocalError,
    board::Board,
    broker::Broker,
    gateway::Gateway,
    keeper::Keeper,
    pod::{self, PodPlan},
    processes::Processes,
    side::{self, Surroundings},
    vitals,
    workspace::Workspace,
};
use crate::{
    build::{self, Images},
    labels,
    manifest::Manifest,
    scaling::{self, Scaled, Title},
    validate::{Pipeline, Scaling, WebReplicas},
};
use std::{collections::BTreeSet, path::Path, sync::Arc, time::Duration};
use tokio::{
    sync::{Mutex, oneshot},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use warren_messaging::{broker, link::Link, settings::AMQP_CA_PEM, topology::Topology};
use warren_scaling::Policy;

/// How long a starting pipeline waits for its topology.
const TOPOLOGY: Duration = Duration::from_secs(3);

/// What a pipeline comes to on this machine; two that are equal run alike.
#[derive(Clone, PartialEq)]
pub struct Plan {
    /// Its name.
    pub name: String,
    broker: broker::Broker,
    topology: Topology,
    web: Option<(PodPlan, u32)>,
    processor: Option<(PodPlan, Count)>,
}

/// How many processors run.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Count {
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
    Ok(broker::Broker { url, ca: certificates(pipeline, site)? })
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

/// A pipeline in operation.
pub struct Running {
    plan: Plan,
    surroundings: Surroundings,
    keeper: Task,
    /// With the port at which it answers.
    gateway: Option<(u16, Task)>,
    vitals: Option<Task>,
    web: Option<side::Side>,
    /// Shared with who counts them.
    processor: Arc<Mutex<Option<side::Side>>>,
}

/// Something in the background that ends when asked.
struct Task {
    stop: CancellationToken,
    running: JoinHandle<()>,
}

impl Task {
    fn start<F: Future<Output = ()> + Send + 'static>(task: impl FnOnce(CancellationToken) -> F) -> Self {
        let stop = CancellationToken::new();
        Self { stop: stop.clone(), running: tokio::spawn(task(stop)) }
    }

    async fn end(self) {
        self.stop.cancel();
        let _ = self.running.await;
    }
}

impl Running {
    /// Starts a pipeline: its topology, its gateway, its two sides. The sides wait for the topology by themselves.
    ///
    /// # Errors
    /// No port is free.
    pub async fn start(plan: Plan, first_port: u16, surroundings: Surroundings) -> Result<Self, LocalError> {
        let board = surroundings.board.clone();
        board.add(&plan.name);
        let gateway = match &plan.web {
            Some(_) => Some(open_gateway(&plan.name, first_port, board.clone()).await?),
            None => None,
        };
        let vitals = plan.web.is_some().then(|| {
            let (name, http, board) = (plan.name.clone(), surroundings.http.clone(), board.clone());
            Task::start(|stop| vitals::watch(name, http, board, stop))
        });
        let (declared, topology) = oneshot::channel();
        let keeper = keep_topology(&plan, board, Some(declared));
        // Workers would wait for it by themselves, with a warning each. A broker that is away is not waited for.
        let _ = tokio::time::timeout(TOPOLOGY, topology).await;
        let mut running = Self { plan, surroundings, keeper, gateway, vitals, web: None, processor: Arc::default() };
        running.scale().await;
        Ok(running)
    }

    /// What it runs.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The port of its HTTP API.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.gateway.as_ref().map(|(port, _)| *port)
    }

    /// Changes to another plan; what is equal in both goes on undisturbed.
    pub async fn change(&mut self, plan: Plan) {
        let old = std::mem::replace(&mut self.plan, plan);
        if (&old.broker, &old.topology) != (&self.plan.broker, &self.plan.topology) {
            let keeper = keep_topology(&self.plan, self.surroundings.board.clone(), None);
            std::mem::replace(&mut self.keeper, keeper).end().await;
        }
        self.scale().await;
    }

    /// Ends it in order: no new clients, then the web side, then the processors, which finish what they run.
    pub async fn stop(self) {
        if let Some((_, gateway)) = self.gateway {
            gateway.end().await;
        }
        if let Some(vitals) = self.vitals {
            vitals.end().await;
        }
        self.surroundings.autoscaler.leave(&self.plan.name);
        let processor = self.processor.lock().await.take();
        for side in [self.web, processor].into_iter().flatten() {
            side.stop().await;
        }
        self.keeper.end().await;
        self.surroundings.board.remove(&self.plan.name);
    }

    async fn scale(&mut self) {
        let (name, surroundings) = (self.plan.name.clone(), self.surroundings.clone());
        bring(&mut self.web, self.plan.web.clone(), &name, &surroundings).await;
        let mut processor = self.processor.lock().await;
        let running = processor.as_ref().map_or(0, side::Side::count);
        let wanted = self.plan.processor.clone().map(|(plan, count)| match count {
            Count::Fixed(replicas) => (plan, replicas),
            Count::ByBacklog(policy) => (plan, running.clamp(policy.min, policy.max.max(policy.min))),
        });
        bring(&mut processor, wanted, &name, &surroundings).await;
        self.count_processors();
    }

    /// Has the processors counted by their backlog, if that is what the pipeline wants.
    fn count_processors(&self) {
        let (name, Surroundings { autoscaler, board, .. }) = (self.plan.name.clone(), &self.surroundings);
        let Some((_, Count::ByBacklog(policy))) = self.plan.processor else { return autoscaler.leave(&name) };
        let (board, side) = (board.clone(), self.processor.clone());
        let scaled = Scaled {
            key: name.clone(),
            title: Title { namespace: String::new(), name: name.clone() },
            topology: self.plan.topology.clone(),
            policy,
            fleet: Arc::new(Processes { pipeline: name, board, side }),
        };
        autoscaler.scale(&self.plan.broker, scaled);
    }
}

/// Brings a side to its plan and number.
async fn bring(
    side: &mut Option<side::Side>,
    wanted: Option<(PodPlan, u32)>,
    pipeline: &str,
    surroundings: &Surroundings,
) {
    let outdated = side.take_if(|side| wanted.as_ref().is_none_or(|(plan, _)| !side.runs(plan)));
    if let Some(outdated) = outdated {
        outdated.stop().await;
    }
    if let Some((plan, replicas)) = wanted {
        let new = || side::Side::new(pipeline.to_owned(), plan, surroundings.clone());
        side.get_or_insert_with(new).scale(replicas, &BTreeSet::new());
    }
}

async fn open_gateway(pipeline: &str, first_port: u16, board: Board) -> Result<(u16, Task), LocalError> {
    let gateway = Gateway::open(first_port).await?;
    let port = gateway.port;
    if port != first_port {
        tracing::warn!("port {first_port} is taken; pipeline `{pipeline}` is on port {port} instead");
    }
    board.set_port(pipeline, port);
    let pipeline = pipeline.to_owned();
    Ok((port, Task::start(|stop| gateway.run(pipeline, board, stop))))
}

fn keep_topology(plan: &Plan, board: Board, declared: Option<oneshot::Sender<()>>) -> Task {
    let link = Link::new(plan.broker.clone(), format!("warren-operator local {}", plan.name), None);
    let link = link.with_small_frames();
    let keeper =
        Keeper { pipeline: plan.name.clone(), plan: plan.topology.plan(), board, declared, told: BTreeSet::new() };
    Task::start(|stop| link.keep(keeper, stop))
}

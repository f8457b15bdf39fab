//! One pipeline that runs on this machine.

use super::{
    LocalError,
    board::Board,
    gateway::Gateway,
    keeper::Keeper,
    plan::{Count, Plan},
    pod::PodPlan,
    processes::Processes,
    side::{self, Surroundings},
    vitals,
};
use crate::scaling::{Scaled, Title};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::{
    sync::{Mutex, oneshot},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use warren_messaging::link::Link;

/// How long a starting pipeline waits for its topology.
const TOPOLOGY: Duration = Duration::from_secs(3);

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
        let goes_on = |plan: &PodPlan| processor.as_ref().is_some_and(|side| side.runs(plan));
        let wanted = self.plan.processor.clone().map(|(plan, count)| match count {
            Count::Fixed(replicas) => (plan, replicas),
            // Too many are not ended here, where nobody asks whether they are busy.
            Count::ByBacklog(policy) if goes_on(&plan) => (plan, running.max(policy.min)),
            Count::ByBacklog(policy) => (plan, running.clamp(policy.min, policy.max.max(policy.min))),
        });
        follow(&mut processor, wanted.as_ref().map(|(plan, _)| plan));
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

/// Has processors run another plan at once: the ones before may have long work to finish, for which new requests need
/// not wait. A web side cannot do so, for its store may be one process's alone.
fn follow(side: &mut Option<side::Side>, plan: Option<&PodPlan>) {
    if let (Some(side), Some(plan)) = (side, plan)
        && !side.runs(plan)
    {
        side.change(plan.clone());
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

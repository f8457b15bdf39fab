//! The scaling loop: watches the queues and the workers of every pipeline, and sets the number of processors.
//!
//! One [`Watch`](watch::Watch) per broker, on one connection, looks at all queues each second and hears the workers' reports. What it sees goes to one [`Scaler`](scaler::Scaler) per pipeline, which asks [`warren_scaling::decide`]
//! and has its [`Fleet`] carry out the number. In the cluster a fleet is a Deployment, in `local` a set of processes; the
//! loop is the same.

mod acting;
mod cordon;
pub mod fleet;
pub mod metrics;
mod orders;
mod reports;
mod scaler;
mod scalers;
mod shown;
mod watch;

use crate::validate::{Pipeline, Scaling, ScalingTarget};
use fleet::Fleet;
use metrics::Metrics;
use scalers::Scalers;
use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::oneshot;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use warren_messaging::{broker::Broker, link::Link, topology::Topology};
use warren_scaling::{Decision, Policy, Target};

/// A pipeline whose processors are counted by their backlog.
#[derive(Clone)]
pub struct Scaled {
    /// What tells it from all others: a uid.
    pub key: String,
    /// How metrics and logs name it.
    pub title: Title,
    /// Its exchange and queues.
    pub topology: Topology,
    /// What the user asks for.
    pub policy: Policy,
    /// What carries out the number.
    pub fleet: Arc<dyn Fleet>,
}

/// A pipeline's name and namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Title {
    /// The namespace; empty outside a cluster.
    pub namespace: String,
    /// The name.
    pub name: String,
}

/// What is known of a pipeline that is scaled.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// The last decision that changed anything worth telling.
    pub decision: Decision,
    /// Requests that wait, if that is known.
    pub backlog: Option<u64>,
    /// Why the number could not be set, if it could not.
    pub trouble: Option<String>,
}

/// All watches, one per broker.
pub struct Autoscaler {
    metrics: Arc<Metrics>,
    stop: CancellationToken,
    watches: Mutex<Vec<Running>>,
    tasks: TaskTracker,
}

struct Running {
    broker: Broker,
    scalers: Arc<Scalers>,
    stop: CancellationToken,
}

/// What of a pipeline is scaled by its backlog, if anything.
#[must_use]
pub fn policy(pipeline: &Pipeline) -> Option<Policy> {
    let processor = pipeline.processor.as_ref()?;
    let Scaling::Backlog { min_replicas, max_replicas, target, idle } = processor.scaling else { return None };
    let target = match target {
        ScalingTarget::BacklogPerReplica(each) => Target::BacklogPerReplica(each),
        ScalingTarget::DrainWithin(within) => Target::DrainWithin(within),
    };
    Some(Policy { min: min_replicas, max: max_replicas, target, idle, concurrency: processor.concurrency })
}

impl Autoscaler {
    /// One that watches nothing yet, and ends with `stop`.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>, stop: CancellationToken) -> Self {
        Self { metrics, stop, watches: Mutex::default(), tasks: TaskTracker::new() }
    }

    /// Counts this pipeline's processors from now on, or with what changed.
    pub fn scale(&self, broker: &Broker, scaled: Scaled) {
        let mut watches = self.watches();
        for running in watches.iter() {
            let same = (running.broker == *broker).then_some(scaled.key.as_str());
            running.scalers.displace(&scaled.title, same);
        }
        let known = watches.iter().position(|running| running.broker == *broker);
        let at = known.unwrap_or_else(|| {
            watches.push(self.start(broker));
            watches.len() - 1
        });
        watches[at].scalers.put(scaled);
    }

    /// Leaves this pipeline's processors alone from now on.
    pub fn leave(&self, key: &str) {
        drop(self.remove(key));
    }

    /// The same, and waits until nothing of ours is bound to its exchange, or for [`UNBIND`] at most.
    pub async fn leave_exchange(&self, key: &str) {
        let leaving: Vec<_> = self.remove(key);
        // Without an answer the connection is away, and its queue with it.
        let _ = tokio::time::timeout(UNBIND, futures::future::join_all(leaving)).await;
    }

    fn remove(&self, key: &str) -> Vec<oneshot::Receiver<()>> {
        self.watches().iter().filter_map(|running| running.scalers.remove(key)).collect()
    }

    /// Leaves all pipelines alone but those with these keys, and brokers that have none.
    pub fn keep(&self, keys: &HashSet<String>) {
        let mut watches = self.watches();
        watches.iter().for_each(|running| running.scalers.keep(keys));
        end_idle(&mut watches);
    }

    /// What is known of a pipeline.
    #[must_use]
    pub fn view(&self, key: &str) -> Option<View> {
        self.watches().iter().find_map(|running| running.scalers.view(key))
    }

    /// Waits until nothing is watched or written any more, once `stop` was cancelled.
    pub async fn ended(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn start(&self, broker: &Broker) -> Running {
        let stop = self.stop.child_token();
        let (scalers, leaving) = Scalers::new(self.metrics.clone(), self.tasks.clone());
        let scalers = Arc::new(scalers);
        // Its queue lives as long as the connection: whatever is too large for it is gone with the next.
        let link = Link::new(broker.clone(), "warren-operator scaling", None).with_small_frames();
        let watch = watch::Watch::new(scalers.clone(), leaving);
        self.tasks.spawn(link.keep(watch, stop.clone()));
        let (blind, ending) = (scalers.clone(), stop.clone());
        self.tasks.spawn(async move { ending.run_until_cancelled(blind.decide_unseen()).await });
        Running { broker: broker.clone(), scalers, stop }
    }

    fn watches(&self) -> std::sync::MutexGuard<'_, Vec<Running>> {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends the watches that have nothing to watch: their pipelines are gone, or use another broker.
fn end_idle(watches: &mut Vec<Running>) {
    watches.retain(|running| {
        let idle = running.scalers.is_empty();
        if idle {
            running.stop.cancel();
        }
        !idle
    });
}

/// How long a watch may take to unbind an exchange.
const UNBIND: Duration = Duration::from_secs(3);
/// How often everything is looked at.
const PERIOD: Duration = Duration::from_secs(1);

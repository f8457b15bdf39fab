//! What every reconcile shares.

use super::{
    apply::Applied,
    brokers::Brokers,
    children::Children,
    credentials::Pinned,
    events::Events,
    metrics::Metrics,
    reconcile::ReconcileError,
    scope::Scope,
    secrets::{self, Secrets},
    topology::Held,
};
use crate::{build::Images, crd::ProcessingPipeline, scaling::Autoscaler};
use kube::{Client, ResourceExt as _, core::DeserializeGuard, runtime::reflector::Store};
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::OnceCell;
use warren_messaging::broker::Broker;

/// How long the first look at the cluster may take.
const SEEN_WITHIN: Duration = Duration::from_secs(60);

/// A stored pipeline, or why it cannot be read: one of them must not stop the others.
pub type Stored = DeserializeGuard<ProcessingPipeline>;

/// What every reconcile shares.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// Where the operator works.
    pub scope: Scope,
    /// Images of the workers.
    pub images: Images,
    /// All pipelines, as the watch shows them.
    pub pipelines: Store<Stored>,
    /// The objects that they own.
    pub children: Arc<Children>,
    /// The Secrets that they refer to.
    pub secrets: Secrets,
    /// Connections to their brokers.
    pub brokers: Brokers,
    /// Counts the processors.
    pub autoscaler: Autoscaler,
    /// Tells people what happens.
    pub events: Arc<Events>,
    /// Counts it.
    pub metrics: Arc<Metrics>,
    memories: Mutex<HashMap<String, Memory>>,
    brokers_of: Mutex<HashMap<String, Broker>>,
    seen: OnceCell<()>,
}

/// What is remembered of one pipeline between reconciles. Losing it costs a few calls.
#[derive(Default)]
pub struct Memory {
    /// What was applied.
    pub applied: Applied,
    /// How often in a row something was wrong.
    pub failures: u32,
    /// Which secret values the workers were last given.
    pub pinned: Option<Pinned>,
    /// Whether the request queue is being replaced: processors are stopped meanwhile.
    pub migrating: bool,
    /// How many processors there were before they were stopped for that: where scaling is paused, nobody else knows.
    pub before_migration: Option<u32>,
    /// Whether it was said that a deleted pipeline waits for its workers.
    pub said_waiting: bool,
    /// When the topology was last found right, for which generation of the spec, and what was found.
    pub held: Option<(Instant, Option<i64>, Held)>,
    /// What was said of a resource that cannot be read.
    pub undecodable: Option<String>,
    /// Since when a retry tier that is not wanted any more has been empty.
    pub empty_tiers: HashMap<Duration, Instant>,
}

impl Context {
    /// A context that remembers nothing yet.
    #[must_use]
    #[expect(clippy::too_many_arguments, reason = "one call; each argument is a field of its own")]
    pub fn new(
        client: Client,
        scope: Scope,
        images: Images,
        pipelines: Store<Stored>,
        children: Children,
        secrets: Secrets,
        events: Events,
        metrics: Arc<Metrics>,
        autoscaler: Autoscaler,
    ) -> Self {
        let (brokers, memories, brokers_of) = (Brokers::default(), Mutex::default(), Mutex::default());
        let seen = OnceCell::new();
        Self {
            client,
            scope,
            images,
            pipelines,
            children: Arc::new(children),
            secrets,
            brokers,
            autoscaler,
            events: Arc::new(events),
            metrics,
            memories,
            brokers_of,
            seen,
        }
    }

    /// Waits until everything that exists has been seen: before that, every object would look missing.
    ///
    /// One waits for all: of several tasks that wait for a store, kube 5.0 wakes only the last.
    ///
    /// # Errors
    /// A watch does not deliver; the log tells which, and mostly that it is forbidden.
    pub async fn all_seen(&self) -> Result<(), ReconcileError> {
        let seen = async || {
            self.children.ready().await;
            self.secrets.ready().await;
        };
        let waited = tokio::time::timeout(SEEN_WITHIN, self.seen.get_or_init(seen)).await;
        waited.map(drop).map_err(|_| ReconcileError::NotSeen)
    }

    /// Forgets pipelines that exist no more, and the Secrets that nobody refers to any more. A pipeline without a
    /// finalizer is not looked at any more once it is deleted.
    pub fn forget_deleted(&self) {
        let stored = self.pipelines.state();
        let alive: HashSet<_> = stored.iter().filter_map(|stored| uid_of(stored)).collect();
        self.autoscaler.keep(&alive);
        let readable = stored.iter().filter_map(|stored| stored.0.as_ref().ok());
        let referred = readable.flat_map(|pipeline| {
            let namespace = pipeline.namespace().unwrap_or_default();
            secrets::referred(pipeline).map(move |name| (namespace.clone(), name.to_owned()))
        });
        self.secrets.keep(&referred.collect());
    }

    /// Remembers where a pipeline's broker is, for when its Secret is gone.
    pub fn note_broker(&self, pipeline: &ProcessingPipeline, broker: &Broker) {
        let mut brokers = self.brokers_of.lock().unwrap_or_else(PoisonError::into_inner);
        brokers.insert(pipeline.metadata.uid.clone().unwrap_or_default(), broker.clone());
    }

    /// Where a pipeline's broker was, when its Secret could last be read by this process.
    #[must_use]
    pub fn last_broker(&self, pipeline: &ProcessingPipeline) -> Option<Broker> {
        let brokers = self.brokers_of.lock().unwrap_or_else(PoisonError::into_inner);
        brokers.get(pipeline.metadata.uid.as_deref()?).cloned()
    }

    /// Takes the memory of the pipeline `uid` out, for as long as it is worked on.
    #[must_use]
    pub fn recall(&self, uid: &str) -> Memory {
        self.memories().remove(uid).unwrap_or_default()
    }

    /// Puts the memory back. Those of pipelines that are gone are dropped on the way, now and then.
    pub fn remember(&self, uid: &str, memory: Memory) {
        let mut memories = self.memories();
        memories.insert(uid.to_owned(), memory);
        if memories.len() > 2 * self.pipelines.len() + 16 {
            let alive: Vec<_> = self.pipelines.state().iter().filter_map(|stored| uid_of(stored)).collect();
            memories.retain(|uid, _| alive.contains(uid));
            let mut brokers = self.brokers_of.lock().unwrap_or_else(PoisonError::into_inner);
            brokers.retain(|uid, _| alive.contains(uid));
        }
    }

    fn memories(&self) -> std::sync::MutexGuard<'_, HashMap<String, Memory>> {
        self.memories.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The uid of a stored pipeline.
#[must_use]
pub fn uid_of(stored: &Stored) -> Option<String> {
    kube::Resource::meta(stored).uid.clone()
}

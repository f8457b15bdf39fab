//! What is known of everything that runs, for the screen and the gateways.

use crate::labels::Side;
use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

/// One replica.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReplicaId {
    /// The pipeline's name.
    pub pipeline: String,
    /// Which side.
    pub side: Side,
    /// Counted from 0.
    pub number: u32,
}

impl fmt::Display for ReplicaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.pipeline, self.side, self.number)
    }
}

/// How a replica fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicaState {
    /// Its process runs, and says that it is not ready.
    Starting,
    /// It answers there.
    Ready(SocketAddr),
    /// It was asked to end.
    Stopping,
    /// Its process ended; another will be started.
    Down,
}

/// What is shown of a pipeline.
#[derive(Clone, Debug, Default)]
pub struct Pipeline {
    /// Port of its HTTP API.
    pub port: Option<u16>,
    /// Replicas that it should have.
    pub wanted: BTreeMap<Side, u32>,
    /// Ready messages per queue, in the topology's order; `None` where the queue is missing.
    pub depths: Vec<(String, Option<u32>)>,
    /// Accepted requests per second.
    pub rate: f64,
    /// What ended last, newest first, in words.
    pub outcomes: Vec<String>,
    /// What only the user can repair.
    pub trouble: Option<String>,
}

/// All of it. Clones share it.
#[derive(Clone, Default)]
pub struct Board {
    // A std mutex: it is held for a moment, never across an await.
    state: Arc<Mutex<State>>,
}

/// What the board shows.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// By name.
    pub pipelines: BTreeMap<String, Pipeline>,
    /// Every replica.
    pub replicas: BTreeMap<ReplicaId, ReplicaState>,
    /// Processes that ended by themselves and were started again.
    pub restarts: u64,
}

impl State {
    /// How many replicas of a side are ready.
    #[must_use]
    pub fn ready(&self, pipeline: &str, side: Side) -> Vec<SocketAddr> {
        let of_side = self.replicas.iter().filter(|(id, _)| id.pipeline == pipeline && id.side == side);
        let addresses = of_side.filter_map(|(_, state)| match state {
            ReplicaState::Ready(address) => Some(*address),
            _ => None,
        });
        addresses.collect()
    }
}

impl Board {
    /// Everything, as it is now.
    #[must_use]
    pub fn state(&self) -> State {
        self.with(|state| state.clone())
    }

    /// Where the ready replicas of a side answer.
    #[must_use]
    pub fn ready(&self, pipeline: &str, side: Side) -> Vec<SocketAddr> {
        self.with(|state| state.ready(pipeline, side))
    }

    /// Shows a pipeline.
    pub fn add(&self, pipeline: &str) {
        self.with(|state| state.pipelines.insert(pipeline.to_owned(), Pipeline::default()));
    }

    /// Shows it no longer.
    pub fn remove(&self, pipeline: &str) {
        self.with(|state| state.pipelines.remove(pipeline));
    }

    /// Shows how many replicas a side should have.
    pub fn want(&self, pipeline: &str, side: Side, replicas: u32) {
        self.change(pipeline, |shown| {
            shown.wanted.insert(side, replicas);
        });
    }

    /// Shows the port of its HTTP API.
    pub fn set_port(&self, pipeline: &str, port: u16) {
        self.change(pipeline, |shown| shown.port = Some(port));
    }

    /// Shows how full its queues are.
    pub fn set_depths(&self, pipeline: &str, depths: Vec<(String, Option<u32>)>) {
        self.change(pipeline, |shown| shown.depths = depths);
    }

    /// Shows what only the user can repair.
    pub fn set_trouble(&self, pipeline: &str, trouble: Option<String>) {
        self.change(pipeline, |shown| shown.trouble = trouble);
    }

    /// Whether a trouble is another than the one shown.
    #[must_use]
    pub fn is_news(&self, pipeline: &str, trouble: &str) -> bool {
        self.with(|state| state.pipelines.get(pipeline).is_none_or(|shown| shown.trouble.as_deref() != Some(trouble)))
    }

    /// Shows what the web side says.
    pub fn set_vitals(&self, pipeline: &str, rate: f64, outcomes: Vec<String>) {
        self.change(pipeline, |shown| {
            shown.rate = rate;
            shown.outcomes = outcomes;
        });
    }

    /// Shows how a replica fares.
    pub fn set(&self, id: &ReplicaId, replica: ReplicaState) {
        self.with(|state| state.replicas.insert(id.clone(), replica));
    }

    /// Shows a replica no longer.
    pub fn forget(&self, id: &ReplicaId) {
        self.with(|state| state.replicas.remove(id));
    }

    /// Counts a process that ended by itself.
    pub fn note_restart(&self) {
        self.with(|state| state.restarts += 1);
    }

    fn change(&self, pipeline: &str, change: impl FnOnce(&mut Pipeline)) {
        self.with(|state| {
            if let Some(shown) = state.pipelines.get_mut(pipeline) {
                change(shown);
            }
        });
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        // Nothing in here leaves the state half-changed, so a panic elsewhere does not spoil it.
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

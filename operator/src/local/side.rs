//! One Deployment: as many replicas as are wanted, all of one plan.

use super::{
    board::{Board, ReplicaId, ReplicaState},
    pod::PodPlan,
    replica::Replica,
    workspace::Workspace,
};
use crate::scaling::Autoscaler;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

type Replicas = BTreeMap<u32, (CancellationToken, JoinHandle<()>)>;

/// The running replicas of a Deployment.
pub struct Side {
    pipeline: String,
    plan: PodPlan,
    replicas: Replicas,
    /// With the numbers of the replicas that are ending.
    ending: Vec<(BTreeSet<u32>, JoinHandle<()>)>,
    surroundings: Surroundings,
}

/// What every replica is given.
#[derive(Clone)]
pub struct Surroundings {
    /// Where processes are noted.
    pub workspace: Workspace,
    /// Where states are shown.
    pub board: Board,
    /// Cancelled to end everything at once.
    pub abort: CancellationToken,
    /// For asking whether replicas are ready.
    pub http: reqwest::Client,
    /// Counts the processors.
    pub autoscaler: Arc<Autoscaler>,
}

impl Side {
    /// A side of which nothing runs yet.
    #[must_use]
    pub fn new(pipeline: String, plan: PodPlan, surroundings: Surroundings) -> Self {
        Self { pipeline, plan, replicas: BTreeMap::new(), ending: Vec::new(), surroundings }
    }

    /// Whether its replicas run `plan`.
    #[must_use]
    pub fn runs(&self, plan: &PodPlan) -> bool {
        self.plan == *plan
    }

    /// How many replicas there are, those that are ending apart.
    #[must_use]
    pub fn count(&self) -> u32 {
        u32::try_from(self.replicas.len()).unwrap_or(u32::MAX)
    }

    /// Those that may end without stopping a busy one: the `idle`, and those whose process is down. One that starts takes
    /// requests before it is seen to be ready.
    #[must_use]
    pub fn dispensable(&self, idle: &BTreeSet<String>) -> BTreeSet<String> {
        let state = self.surroundings.board.state();
        let may_go =
            |id: &ReplicaId, name: &String| idle.contains(name) || state.replicas.get(id) == Some(&ReplicaState::Down);
        let ids = self.replicas.keys().map(|number| self.id(*number));
        ids.filter_map(|id| Some(id.to_string()).filter(|name| may_go(&id, name))).collect()
    }

    /// Starts or ends replicas until there are `wanted`. Those named in `first` end first, then those with the highest
    /// numbers; each takes its own time. Returns the names of those that end.
    pub fn scale(&mut self, wanted: u32, first: &BTreeSet<String>) -> BTreeSet<String> {
        self.surroundings.board.want(&self.pipeline, self.plan.side, wanted);
        self.ending.retain(|(_, ending)| !ending.is_finished());
        while self.count() < wanted {
            let number = self.free_number();
            let started = self.start(number);
            self.replicas.insert(number, started);
        }
        let mut order: Vec<_> = self.replicas.keys().copied().collect();
        order.sort_by_key(|number| (first.contains(&self.id(*number).to_string()), *number));
        let going = order.split_off(order.len().min(wanted as usize));
        let going: Replicas =
            going.into_iter().filter_map(|number| Some((number, self.replicas.remove(&number)?))).collect();
        let names = going.keys().map(|number| self.id(*number).to_string()).collect();
        self.end_aside(going);
        names
    }

    /// Runs another plan from now on. The replicas of the one before begin nothing more, and end in their own time
    /// beside the new ones.
    pub fn change(&mut self, plan: PodPlan) {
        self.plan = plan;
        let going = std::mem::take(&mut self.replicas);
        self.end_aside(going);
    }

    /// Ends all replicas, each in its own time, all at once.
    pub async fn stop(mut self) {
        end(std::mem::take(&mut self.replicas)).await;
        for (_, ending) in self.ending {
            let _ = ending.await;
        }
    }

    fn end_aside(&mut self, going: Replicas) {
        if !going.is_empty() {
            self.ending.push((going.keys().copied().collect(), tokio::spawn(end(going))));
        }
    }

    /// Not that of a replica which is still ending: it has the name, too.
    fn free_number(&self) -> u32 {
        let is_ending = |number: &u32| self.ending.iter().any(|(numbers, _)| numbers.contains(number));
        let free = (0..).find(|number| !self.replicas.contains_key(number) && !is_ending(number));
        free.unwrap_or_default()
    }

    fn id(&self, number: u32) -> ReplicaId {
        ReplicaId { pipeline: self.pipeline.clone(), side: self.plan.side, number }
    }

    fn start(&self, number: u32) -> (CancellationToken, JoinHandle<()>) {
        let stop = CancellationToken::new();
        let Surroundings { workspace, board, abort, http, .. } = self.surroundings.clone();
        let id = self.id(number);
        let replica = Replica { id, plan: self.plan.clone(), workspace, board, stop: stop.clone(), abort, http };
        (stop, tokio::spawn(replica.run()))
    }
}

async fn end(replicas: Replicas) {
    for (stop, _) in replicas.values() {
        stop.cancel();
    }
    for (_, running) in replicas.into_values() {
        if let Err(error) = running.await {
            tracing::error!(%error, "a replica's keeper ended by a panic");
        }
    }
}

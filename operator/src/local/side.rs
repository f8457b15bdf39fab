//! One Deployment: as many replicas as are wanted, all of one plan.

use super::{
    board::{Board, ReplicaId},
    pod::PodPlan,
    replica::Replica,
    workspace::Workspace,
};
use std::collections::BTreeMap;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The running replicas of a Deployment.
pub struct Side {
    pipeline: String,
    plan: PodPlan,
    replicas: BTreeMap<u32, (CancellationToken, JoinHandle<()>)>,
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
}

impl Side {
    /// A side of which nothing runs yet.
    #[must_use]
    pub fn new(pipeline: String, plan: PodPlan, surroundings: Surroundings) -> Self {
        Self { pipeline, plan, replicas: BTreeMap::new(), surroundings }
    }

    /// Whether its replicas run `plan`.
    #[must_use]
    pub fn runs(&self, plan: &PodPlan) -> bool {
        self.plan == *plan
    }

    /// Starts or ends replicas until there are `wanted`; those with the highest numbers end first.
    pub async fn scale(&mut self, wanted: u32) {
        self.surroundings.board.want(&self.pipeline, self.plan.side, wanted);
        for number in 0..wanted {
            if !self.replicas.contains_key(&number) {
                let started = self.start(number);
                self.replicas.insert(number, started);
            }
        }
        end(self.replicas.split_off(&wanted)).await;
    }

    /// Ends all replicas, each in its own time, all at once.
    pub async fn stop(mut self) {
        end(std::mem::take(&mut self.replicas)).await;
    }

    fn start(&self, number: u32) -> (CancellationToken, JoinHandle<()>) {
        let stop = CancellationToken::new();
        let Surroundings { workspace, board, abort, http } = self.surroundings.clone();
        let id = ReplicaId { pipeline: self.pipeline.clone(), side: self.plan.side, number };
        let replica = Replica { id, plan: self.plan.clone(), workspace, board, stop: stop.clone(), abort, http };
        (stop, tokio::spawn(replica.run()))
    }
}

async fn end(replicas: BTreeMap<u32, (CancellationToken, JoinHandle<()>)>) {
    for (stop, _) in replicas.values() {
        stop.cancel();
    }
    for (_, running) in replicas.into_values() {
        if let Err(error) = running.await {
            tracing::error!(%error, "a replica's keeper ended by a panic");
        }
    }
}

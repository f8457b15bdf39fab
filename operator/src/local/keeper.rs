//! Keeps a pipeline's topology declared, and looks how full its queues are.

use super::board::Board;
use std::{collections::BTreeSet, time::Duration};
use tokio::{sync::oneshot, time::Instant};
use warren_messaging::{
    error_chain::Chain,
    link::{LinkError, Opened, Session},
    topology::{
        Object, TopologyPlan, check,
        declare::{DeclareError, declare},
    },
};

/// How often queues are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How often everything is declared again though nothing seems to be missing: a lost binding is not seen otherwise.
const DECLARE: Duration = Duration::from_secs(10);

/// The session that does it.
pub struct Keeper {
    /// The pipeline's name.
    pub pipeline: String,
    /// What the broker must hold.
    pub plan: TopologyPlan,
    /// Where depths and troubles are shown.
    pub board: Board,
    /// Told once, when it was declared for the first time.
    pub declared: Option<oneshot::Sender<()>>,
    /// What was said of missing queues since the topology was last whole.
    pub told: BTreeSet<String>,
}

impl Session for Keeper {
    async fn serve(&mut self, opened: Opened<'_>) -> Result<(), LinkError> {
        let mut declared = None;
        loop {
            if declared.is_none_or(|at: Instant| at.elapsed() > DECLARE) {
                self.declare(&opened).await?;
                declared = Some(Instant::now());
                opened.ready();
            }
            if !self.look(&opened).await? {
                declared = None;
            }
            if opened.stop.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_none() {
                return Ok(());
            }
        }
    }
}

impl Keeper {
    /// A refusal that only the user can lift is shown, and tried again with the next round.
    async fn declare(&mut self, opened: &Opened<'_>) -> Result<(), LinkError> {
        let trouble = match declare(opened.connection, &self.plan).await {
            Ok(done) => {
                match self.declared.take() {
                    // Whoever waited for it may have given up.
                    Some(declared) => drop(declared.send(())),
                    None => done.created.iter().for_each(|object| self.tell_missing(object)),
                }
                None
            }
            Err(DeclareError::Link { source, .. }) => return Err(source.into()),
            Err(refusal) => Some(Chain(&refusal).to_string()),
        };
        if let Some(trouble) = trouble.as_ref().filter(|trouble| self.board.is_news(&self.pipeline, trouble)) {
            tracing::error!("pipeline `{}`: {trouble}", self.pipeline);
        }
        self.board.set_trouble(&self.pipeline, trouble);
        Ok(())
    }

    /// Shows every queue's depth; `false` when one is missing.
    async fn look(&mut self, opened: &Opened<'_>) -> Result<bool, LinkError> {
        let found = check::survey(opened.connection, &self.plan).await?.into_iter();
        let depths: Vec<_> = found.map(|(queue, counts)| (queue, counts.map(|counts| counts.ready))).collect();
        let whole = depths.iter().all(|(_, depth)| depth.is_some());
        for (name, _) in depths.iter().filter(|(_, depth)| depth.is_none()) {
            self.tell_missing(&Object::Queue(name.clone()).to_string());
        }
        if whole {
            self.told.clear();
        }
        self.board.set_depths(&self.pipeline, depths);
        Ok(whole)
    }

    /// Says it once: what cannot be declared stays missing, and has its own line.
    fn tell_missing(&mut self, object: &str) {
        if self.told.insert(object.to_owned()) {
            tracing::warn!("{object} is missing; declaring it again");
        }
    }
}

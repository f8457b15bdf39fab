//! The processes of a pipeline's processor side as a fleet.

use super::{board::Board, side::Side};
use crate::{
    labels,
    scaling::fleet::{Change, Done, Fleet, FleetError, Replicas},
};
use futures::future::{BoxFuture, FutureExt as _};
use std::sync::Arc;
use tokio::sync::Mutex;

/// The processors of one pipeline on this machine.
pub struct Processes {
    /// The pipeline's name.
    pub pipeline: String,
    /// Shows how many are wanted and ready.
    pub board: Board,
    /// Runs them.
    pub side: Arc<Mutex<Option<Side>>>,
}

impl Fleet for Processes {
    fn replicas(&self) -> Option<Replicas> {
        let state = self.board.state();
        let asked = *state.pipelines.get(&self.pipeline)?.wanted.get(&labels::Side::Processor)?;
        let ready = state.ready(&self.pipeline, labels::Side::Processor).len();
        Some(Replicas { asked, ready: u32::try_from(ready).unwrap_or(u32::MAX) })
    }

    fn set(&self, change: Change) -> BoxFuture<'_, Result<Done, FleetError>> {
        async move {
            let mut side = self.side.lock().await;
            // It ends, or changes to another plan; then there is nothing to be set.
            let Some(side) = side.as_mut() else {
                return Ok(Done { replicas: change.from, ..Done::default() });
            };
            let may_go = side.dispensable(&change.idle);
            let fewest = side.count().saturating_sub(u32::try_from(may_go.len()).unwrap_or(u32::MAX));
            let replicas = change.to.max(fewest.min(change.from));
            Ok(Done { replicas, going: side.scale(replicas, &may_go) })
        }
        .boxed()
    }
}

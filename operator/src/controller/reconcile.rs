//! One look at one pipeline: examine it (which does all that is needed), or clean up after it, and report.

use super::{
    cleanup,
    context::{Context, Memory, Stored},
    examine, pace,
    reason::Reason,
    records, report,
};
use kube::{ResourceExt as _, runtime::controller::Action};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// How soon one that does not work is looked at again; doubled each time, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Secrets and objects are watched, so this only bounds how late a broker's return is noticed.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// The API server or a broker hangs: give the others their turn.
const DEADLINE: Duration = Duration::from_secs(60);

/// Why a look at a pipeline ended early.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The API server refused.
    #[error(transparent)]
    Api(#[from] kube::Error),
    /// The first look at the cluster is not complete.
    #[error("cannot see all that exists yet: a watch is forbidden or fails, as earlier lines tell")]
    NotSeen,
    /// It took too long.
    #[error("no end within {} s: the API server or the broker hangs", DEADLINE.as_secs())]
    Deadline,
}

/// Looks at a pipeline and does what is needed.
///
/// # Errors
/// Its status could not be written; everything else is in the status.
pub async fn reconcile(stored: Arc<Stored>, context: Arc<Context>) -> Result<Action, ReconcileError> {
    let uid = super::context::uid_of(&stored).unwrap_or_default();
    let (mut memory, begun) = (context.recall(&uid), Instant::now());
    let looked = tokio::time::timeout(DEADLINE, look(&stored, &context, &mut memory)).await;
    let outcome = looked.unwrap_or(Err(ReconcileError::Deadline));
    let reason = outcome.as_ref().map_or(Reason::ApiError, |reason| *reason);
    context.metrics.reconciled(reason, begun.elapsed());
    memory.failures = if is_fine(reason) { 0 } else { memory.failures.saturating_add(1) };
    let pause = pause(reason, memory.failures, context.pipelines.len());
    context.remember(&uid, memory);
    outcome.map(|_| Action::requeue(pause))
}

/// What follows a look that failed altogether.
pub fn after_error(stored: Arc<Stored>, error: &ReconcileError, context: Arc<Context>) -> Action {
    let (namespace, name) = (stored.namespace().unwrap_or_default(), stored.name_any());
    tracing::warn!(namespace, pipeline = name, "{}", warren_messaging::error_chain::Chain(error));
    let uid = super::context::uid_of(&stored).unwrap_or_default();
    let memory = context.recall(&uid);
    let pause = pause(Reason::ApiError, memory.failures, context.pipelines.len());
    context.remember(&uid, memory);
    Action::requeue(pause)
}

fn is_fine(reason: Reason) -> bool {
    matches!(reason, Reason::Running | Reason::ScaledToZero)
}

fn pause(reason: Reason, failures: u32, pipelines: usize) -> Duration {
    match reason {
        _ if is_fine(reason) => pace::look_every(pipelines),
        // A step that only time brings on.
        Reason::QueueMigrating | Reason::Pending => FIRST_PAUSE,
        // Pods are not watched; what they suffer from should show soon.
        Reason::Starting => FIRST_PAUSE * 4,
        _ => FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(LONGEST_PAUSE),
    }
}

async fn look(stored: &Stored, context: &Context, memory: &mut Memory) -> Result<Reason, ReconcileError> {
    let pipeline = match &stored.0 {
        Ok(pipeline) => {
            memory.undecodable = None;
            pipeline
        }
        Err(invalid) => {
            cleanup::let_go(&invalid.metadata, context).await?;
            return report::undecodable(invalid, context, memory).await;
        }
    };
    records::keep(pipeline, context).await?;
    if pipeline.metadata.deletion_timestamp.is_some() {
        return cleanup::clean_up(pipeline, context, memory).await;
    }
    cleanup::keep_finalizer(pipeline, context).await?;
    let findings = examine::examine(pipeline, context, memory).await;
    report::write(pipeline, &findings, context).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipeline_that_does_not_work_is_looked_at_less_and_less_often() {
        let pauses: Vec<_> = (1..8).map(|failures| pause(Reason::LoginRefused, failures, 1).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(pause(Reason::LoginRefused, u32::MAX, 1), LONGEST_PAUSE);
        assert_eq!(pause(Reason::Running, 0, 1), pace::look_every(1));
    }
}

//! Kubernetes Events: every change that a person would ask about. A failed Event is logged and costs nothing else.

use super::{apply::Changes, reason::Reason, status::Truth};
use crate::{
    crd::{ProcessingPipeline, status::PipelineStatus},
    scaling::fleet::Change,
};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Client, Resource as _,
    runtime::events::{Event, EventType, Recorder, Reporter},
};
use std::sync::{Mutex, PoisonError};
use warren_messaging::error_chain::Chain;

/// The `reportingController` of all Events.
const REPORTER: &str = "warren.dev/operator";
/// The API server takes no longer notes.
const LONGEST_NOTE: usize = 1024;

/// kube's recorder keeps each Event for six minutes, to count its repetitions: with a thousand pipelines that start at once
/// those would be 10 MiB. Beyond this many it begins anew; at worst a repetition shows as an Event of its own.
const REMEMBERED: u16 = 256;

/// Tells people what happens to a pipeline.
pub struct Events {
    client: Client,
    reporter: Reporter,
    /// And how many Events it may remember.
    recorder: Mutex<(Recorder, u16)>,
}

impl Events {
    /// Events in the name of the replica `identity`.
    #[must_use]
    pub fn new(client: Client, identity: &str) -> Self {
        let reporter = Reporter { controller: REPORTER.into(), instance: Some(identity.into()) };
        let recorder = Mutex::new((Recorder::new(client.clone(), reporter.clone()), 0));
        Self { client, reporter, recorder }
    }

    fn recorder(&self) -> Recorder {
        let mut recorder = self.recorder.lock().unwrap_or_else(PoisonError::into_inner);
        if recorder.1 == REMEMBERED {
            *recorder = (Recorder::new(self.client.clone(), self.reporter.clone()), 0);
        }
        recorder.1 += 1;
        recorder.0.clone()
    }

    /// Something went as it should.
    pub async fn normal(&self, pipeline: &ProcessingPipeline, reason: &str, note: impl Into<String>) {
        self.publish(&pipeline.object_ref(&()), EventType::Normal, reason, note.into()).await;
    }

    /// Something that a person may have to act on.
    pub async fn warning(&self, pipeline: &ProcessingPipeline, reason: &str, note: impl Into<String>) {
        self.publish(&pipeline.object_ref(&()), EventType::Warning, reason, note.into()).await;
    }

    /// What an apply changed.
    pub async fn changes(&self, pipeline: &ProcessingPipeline, changes: &Changes) {
        for (reason, what, objects) in [
            ("ObjectsCreated", "created", &changes.created),
            ("ObjectsUpdated", "updated", &changes.updated),
            ("DriftRepaired", "restored what somebody else had changed or deleted:", &changes.repaired),
            ("ObjectsPruned", "deleted what is not needed any more:", &changes.pruned),
        ] {
            if !objects.is_empty() {
                self.normal(pipeline, reason, format!("{what} {}", objects.join(", "))).await;
            }
        }
    }

    /// The number of processors begins to move in another direction. The steps of one movement are in the log.
    pub async fn scaled(&self, pipeline: &ObjectReference, change: &Change) {
        if change.turns {
            let reason = if change.to > change.from { "ScaledUp" } else { "ScaledDown" };
            let note = format!("from {} to {} processors: {}", change.from, change.to, change.because);
            self.publish(pipeline, EventType::Normal, reason, note).await;
        }
    }

    /// The step from one status to the next, if the pipeline became ready, unready, or unready for another reason; or if
    /// its processors cannot be counted any more.
    pub async fn transition(&self, pipeline: &ProcessingPipeline, before: &PipelineStatus, after: &PipelineStatus) {
        if let Some((reason, message)) = uncounted(before, after) {
            self.warning(pipeline, reason, message).await;
        }
        let (before, after) = (shown(before, "Ready"), shown(after, "Ready"));
        let Some((truth, reason, message)) = after else { return };
        if before.map(|(truth, reason, _)| (truth, reason)) == Some((truth, reason)) {
            return;
        }
        if truth == Truth::True || reason == Reason::Starting.as_str() {
            self.normal(pipeline, reason, message).await;
        } else {
            self.warning(pipeline, reason, message).await;
        }
    }

    async fn publish(&self, pipeline: &ObjectReference, type_: EventType, reason: &str, mut note: String) {
        let name = pipeline.name.as_deref().unwrap_or_default();
        let namespace = pipeline.namespace.as_deref().unwrap_or_default();
        match type_ {
            EventType::Normal => tracing::info!(pipeline = name, namespace, reason, "{note}"),
            EventType::Warning => tracing::warn!(pipeline = name, namespace, reason, "{note}"),
        }
        if note.len() > LONGEST_NOTE {
            let end = note.floor_char_boundary(LONGEST_NOTE - 3);
            note.truncate(end);
            note.push_str("...");
        }
        // kube repeats the first note of an action for six minutes, so another note is another action.
        let mut action = format!("Reconcile-{}", super::digest::Digest::of(&note.as_str().into()));
        action.truncate("Reconcile-".len() + 8);
        let event = Event { type_, reason: reason.into(), note: Some(note), action, secondary: None };
        if let Err(error) = self.recorder().publish(&event, pipeline).await {
            tracing::warn!(pipeline = name, namespace, "cannot publish an Event: {}", Chain(&error));
        }
    }
}

/// Why the processors cannot be counted, if that is news.
fn uncounted<'a>(before: &PipelineStatus, after: &'a PipelineStatus) -> Option<(&'a str, &'a str)> {
    use warren_scaling::Reason::{BacklogUnknown, WorkersSilent};
    let troubles = [Reason::ScalingRefused, Reason::Scaling(BacklogUnknown), Reason::Scaling(WorkersSilent)];
    let (_, reason, message) = shown(after, "ScalingActive")?;
    let is_news = shown(before, "ScalingActive").is_none_or(|(_, before, _)| before != reason);
    (is_news && troubles.iter().any(|trouble| trouble.as_str() == reason)).then_some((reason, message))
}

fn shown<'a>(status: &'a PipelineStatus, condition: &str) -> Option<(Truth, &'a str, &'a str)> {
    let condition = status.conditions.iter().find(|shown| shown.type_ == condition)?;
    let truth = if condition.status == "True" { Truth::True } else { Truth::False };
    Some((truth, &condition.reason, &condition.message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn scaling(reason: &str) -> PipelineStatus {
        let condition = json!({"type": "ScalingActive", "status": "False", "reason": reason, "message": "why",
            "lastTransitionTime": "2026-01-01T00:00:00Z"});
        serde_json::from_value(json!({"conditions": [condition]})).expect("a status")
    }

    #[test]
    fn that_processors_cannot_be_counted_is_told_once_and_a_choice_is_not() {
        let nothing = PipelineStatus::default();
        for (before, after, told) in [
            (&nothing, "BacklogUnknown", true),
            (&scaling("ScalingUp"), "ScalingRefused", true),
            (&scaling("ScalingRefused"), "ScalingRefused", false),
            (&scaling("ScalingRefused"), "WorkersSilent", true),
            (&scaling("WorkersSilent"), "Steady", false),
            (&scaling("Steady"), "Paused", false),
        ] {
            assert_eq!(uncounted(before, &scaling(after)).is_some(), told, "{after}");
        }
    }
}

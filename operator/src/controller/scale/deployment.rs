//! A Deployment as a fleet.

use super::{
    super::{children::Children, context::Context, events::Events},
    mark::{has_noted, is_unlabelled, mark_of, patch, unlabelled},
    victims::{Candidate, Choice, Stage, choose},
    write,
};
use crate::{
    crd::ProcessingPipeline,
    labels::{self, Side},
    scaling::fleet::{Change, Done, Fleet, FleetError, Replicas},
};
use futures::future::{BoxFuture, FutureExt as _, try_join_all};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::{
    apps::v1::ReplicaSet,
    core::v1::{ObjectReference, Pod},
};
use kube::{
    Api, Client, Resource as _, ResourceExt as _,
    api::{ListParams, Patch, PatchParams},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

/// A pod that is older and whose worker does not run has no room or no image, or fails: it will hardly take a request now.
const STUCK: SignedDuration = SignedDuration::from_secs(30);
/// How long Kubernetes may take to hear which pods should go; mostly that is a matter of milliseconds.
const NOTED: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(30);

/// The processors of one pipeline in a cluster.
pub struct DeploymentFleet {
    client: Client,
    children: Arc<Children>,
    events: Arc<Events>,
    pipeline: ObjectReference,
    namespace: String,
    name: String,
    selector: String,
}

impl DeploymentFleet {
    /// Those of this pipeline.
    pub fn new(pipeline: &ProcessingPipeline, context: &Context) -> Self {
        let name = pipeline.name_any();
        Self {
            client: context.client.clone(),
            children: context.children.clone(),
            events: context.events.clone(),
            pipeline: pipeline.object_ref(&()),
            namespace: pipeline.namespace().unwrap_or_default(),
            name: Side::Processor.object_name(&name),
            selector: labels::selector_text(&Side::Processor.selector(&name)),
        }
    }

    /// Beside the rest: the number is set, whatever becomes of the Event.
    fn tell(&self, change: Change) {
        let (events, pipeline) = (self.events.clone(), self.pipeline.clone());
        tokio::spawn(async move { events.scaled(&pipeline, &change).await });
    }

    /// Makes sure that those that go are idle, and that Kubernetes knows them; what may be done then.
    async fn prepare(&self, change: &Change) -> Result<Done, FleetError> {
        let pods = self.pods().list(&ListParams::default().labels(&self.selector)).await?;
        let active: Vec<_> = pods.items.iter().filter(|pod| is_active(pod)).collect();
        let now = Timestamp::now();
        let candidates: Vec<_> = active.iter().map(|pod| candidate(pod, now)).collect();
        let choice = choose(&candidates, change.leaving(), &change.idle);
        let leaving = u32::try_from(choice.going.len()).unwrap_or(u32::MAX);
        let replicas = change.from.saturating_sub(leaving);
        // Where all go or none, Kubernetes has nobody to choose.
        if replicas > 0 && leaving > 0 {
            self.mark(&active, &choice).await?;
        }
        Ok(Done { replicas, going: choice.going })
    }

    /// Marks those that go, and waits until Kubernetes knows of it. Old marks are taken back, and known to be, before: new
    /// ones could not be told from them.
    async fn mark(&self, pods: &[&Pod], choice: &Choice) -> Result<(), FleetError> {
        if !choice.unmark.is_empty() {
            let left = pods.iter().filter(|pod| is_unlabelled(pod)).map(|pod| pod.name_any());
            let left: BTreeSet<_> = left.filter(|name| choice.going.contains(name)).collect();
            self.patch(&choice.unmark, false).await?;
            self.noted(&unlabelled(pods, &left)).await?;
        }
        self.patch(&choice.mark, true).await?;
        self.noted(&unlabelled(pods, &choice.going)).await
    }

    async fn patch(&self, pods: &[String], goes: bool) -> kube::Result<()> {
        let (api, patch) = (self.pods(), Patch::Merge(patch(goes)));
        let patching = pods.iter().map(async |name| {
            match api.patch_metadata(name, &PatchParams::default(), &patch).await {
                Ok(_) => Ok(()),
                // It has gone by itself.
                Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
                Err(error) => Err(error),
            }
        });
        try_join_all(patching).await.map(drop)
    }

    /// Waits until Kubernetes knows how many pods of each ReplicaSet have lost the label.
    async fn noted(&self, unlabelled: &BTreeMap<&str, i32>) -> Result<(), FleetError> {
        let sets: Api<ReplicaSet> = Api::namespaced(self.client.clone(), &self.namespace);
        let asking = async {
            loop {
                let asked = try_join_all(unlabelled.keys().map(|name| sets.get(name))).await?;
                if asked.iter().zip(unlabelled.values()).all(|(set, count)| has_noted(set, *count)) {
                    return Ok(());
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::time::timeout(NOTED, asking).await.unwrap_or(Err(FleetError::Unnoted))
    }

    fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }
}

/// Whether it counts as one of its ReplicaSet's: an evicted one stays, and does not.
fn is_active(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    pod.metadata.deletion_timestamp.is_none() && !matches!(phase, Some("Succeeded" | "Failed"))
}

fn candidate(pod: &Pod, now: Timestamp) -> Candidate {
    let age = pod.metadata.creation_timestamp.as_ref().map(|created| now.duration_since(created.0));
    Candidate {
        name: pod.name_any(),
        stage: stage(pod),
        may_work: runs(pod) || age.is_none_or(|age| age < STUCK),
        mark: mark_of(pod),
    }
}

fn stage(pod: &Pod) -> Stage {
    let status = pod.status.as_ref();
    let mut conditions = status.iter().flat_map(|status| status.conditions.iter().flatten());
    let is_ready = conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True");
    match status.and_then(|status| status.phase.as_deref()) {
        _ if is_ready => Stage::Ready,
        _ if pod.spec.as_ref().is_none_or(|spec| spec.node_name.is_none()) => Stage::Unscheduled,
        Some("Pending") | None => Stage::Pending,
        Some(_) => Stage::Unready,
    }
}

/// Whether its worker runs, or did when the kubelet last looked.
fn runs(pod: &Pod) -> bool {
    let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    let mut workers = statuses.filter(|status| status.name == Side::Processor.container());
    workers.any(|worker| worker.state.as_ref().is_some_and(|state| state.running.is_some()))
}

impl Fleet for DeploymentFleet {
    fn replicas(&self) -> Option<Replicas> {
        let deployment = self.children.get("Deployment", &self.namespace, &self.name)?;
        let count = |number: Option<i32>| number.and_then(|number| u32::try_from(number).ok());
        let ready = count(deployment.rollout.map(|rollout| rollout.ready)).unwrap_or(0);
        Some(Replicas { asked: count(deployment.replicas).unwrap_or(1), ready })
    }

    fn set(&self, change: Change) -> BoxFuture<'_, Result<Done, FleetError>> {
        async move {
            let shrinks = change.to < change.from;
            let done =
                if shrinks { self.prepare(&change).await? } else { Done { replicas: change.to, ..Done::default() } };
            if done.replicas != change.from {
                write(&self.client, &self.namespace, &self.name, done.replicas).await?;
                self.tell(Change { to: done.replicas, ..change });
            }
            Ok(done)
        }
        .boxed()
    }
}

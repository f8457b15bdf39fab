//! A Deployment as a fleet.

use super::{
    super::{children::Children, context::Context, events::Events},
    as_scaler,
    mark::{has_noted, mark_of, owner, patch},
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
    apps::v1::{Deployment, ReplicaSet},
    core::v1::{ObjectReference, Pod},
};
use kube::{
    Api, Client, Resource as _, ResourceExt as _,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::json;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

/// A pod that is older and whose worker does not run has no room or no image, or fails: it will hardly take a request now.
const STUCK: SignedDuration = SignedDuration::from_secs(30);
/// How long Kubernetes may take to hear which pods should go; mostly that is a matter of milliseconds.
const NOTED: Duration = Duration::from_secs(2);
/// How long all that comes before the number may take.
const PREPARED: Duration = Duration::from_secs(4);
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
        let mut pods = self.active().await?;
        let now = Timestamp::now();
        let candidates: Vec<_> = pods.iter().map(|pod| candidate(pod, change, now)).collect();
        let present = count(pods.len());
        let choice = choose(&candidates, present.saturating_sub(change.to), &change.idle);
        let staying = present - count(choice.going.len());
        if staying > 0 {
            is_settled(&pods, change.from)?;
            if let Some(pod) = choice.blocked_by.clone().filter(|pod| !change.heard.contains(pod)) {
                return Err(FleetError::Silent { pod });
            }
        }
        // Where all go or none, Kubernetes has nobody to choose.
        if staying > 0 && !choice.going.is_empty() {
            let marked = tokio::time::timeout(NOTED, self.mark(&mut pods, &choice)).await;
            marked.unwrap_or(Err(FleetError::Unnoted))?;
        }
        Ok(Done { replicas: staying.clamp(change.to, change.from), going: choice.going })
    }

    /// The Pods that count. One that no ReplicaSet owns, as somebody may keep for a look at it, is not Kubernetes' to end.
    async fn active(&self) -> kube::Result<Vec<Pod>> {
        let listed = self.pods().list(&ListParams::default().labels(&self.selector)).await?;
        Ok(listed.items.into_iter().filter(|pod| is_active(pod) && owner(pod).is_some()).collect())
    }

    /// Marks those that go, and waits until Kubernetes knows of it. Old marks are taken back, and known to be, before: new
    /// ones could not be told from them.
    async fn mark(&self, pods: &mut Vec<Pod>, choice: &Choice) -> Result<(), FleetError> {
        if !choice.unmark.is_empty() {
            self.patch(pods, &choice.unmark, false).await?;
            self.noted(pods).await?;
        }
        self.patch(pods, &choice.mark, true).await?;
        self.noted(pods).await
    }

    /// Changes the marks of those with these names. Others may change labels, too: what they are then is the answer's.
    async fn patch(&self, pods: &mut Vec<Pod>, names: &[String], goes: bool) -> kube::Result<()> {
        let (api, patch) = (self.pods(), Patch::Merge(patch(goes)));
        let patching = names.iter().map(async |name| {
            match api.patch_metadata(name, &PatchParams::default(), &patch).await {
                Ok(patched) => Ok((name, Some(patched.metadata))),
                // It has gone by itself.
                Err(kube::Error::Api(status)) if status.is_not_found() => Ok((name, None)),
                Err(error) => Err(error),
            }
        });
        let mut patched: BTreeMap<_, _> = try_join_all(patching).await?.into_iter().collect();
        pods.retain_mut(|pod| match patched.remove(&pod.name_any()) {
            Some(Some(metadata)) => {
                pod.metadata = metadata;
                true
            }
            Some(None) => false,
            None => true,
        });
        Ok(())
    }

    /// Waits until Kubernetes knows which labels these have.
    async fn noted(&self, pods: &[Pod]) -> Result<(), FleetError> {
        let sets: Api<ReplicaSet> = Api::namespaced(self.client.clone(), &self.namespace);
        let Some(name) = pods.iter().find_map(owner) else { return Ok(()) };
        while !has_noted(&sets.get(name).await?, pods) {
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// Writes the number, unless it is another than `from` by now.
    async fn write(&self, from: u32, to: u32) -> Result<(), FleetError> {
        let api: Api<Deployment> = Api::namespaced(self.client.clone(), &self.namespace);
        // The scale of none has no number to be compared with.
        if from == 0 {
            return Ok(write(&self.client, &self.namespace, &self.name, to).await?);
        }
        let path = "/spec/replicas";
        let test = json!([{"op": "test", "path": path, "value": from}, {"op": "replace", "path": path, "value": to}]);
        let patch: Patch<()> = Patch::Json(serde_json::from_value(test).expect("is a patch as RFC 6902 has it"));
        match api.patch_scale(&self.name, &as_scaler(), &patch).await {
            Ok(_) => Ok(()),
            // So says a test that fails, but an admission policy may, too.
            Err(kube::Error::Api(status)) if status.code == 422 && self.is_moved(&api, from).await? => {
                Err(FleetError::Moved)
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn is_moved(&self, api: &Api<Deployment>, from: u32) -> kube::Result<bool> {
        let replicas = api.get(&self.name).await?.spec.replicas;
        Ok(replicas.and_then(|replicas| u32::try_from(replicas).ok()) != Some(from))
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

/// Whether Kubernetes has nothing to do with these but what it is told now: all are of one ReplicaSet, and no more than
/// were asked for. Otherwise a smaller number ends more than were chosen, and others (the Deployment controller scales all
/// ReplicaSets of an unfinished rollout in proportion).
fn is_settled(pods: &[Pod], asked: u32) -> Result<(), FleetError> {
    let sets: BTreeSet<_> = pods.iter().map(owner).collect();
    if sets.len() > 1 {
        return Err(FleetError::Replacing);
    }
    if count(pods.len()) > asked {
        return Err(FleetError::Unfinished);
    }
    Ok(())
}

fn count(of: usize) -> u32 {
    u32::try_from(of).unwrap_or(u32::MAX)
}

fn candidate(pod: &Pod, change: &Change, now: Timestamp) -> Candidate {
    let (name, created) = (pod.name_any(), pod.metadata.creation_timestamp.as_ref());
    let is_young = created.is_none_or(|created| now.duration_since(created.0) < STUCK);
    // The kubelet tells late of one that has just started; its reports come sooner.
    let may_work = runs(pod) || is_young || change.heard.contains(&name);
    Candidate { name, stage: stage(pod), may_work, mark: mark_of(pod) }
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
            let done = if change.to < change.from {
                let prepared = tokio::time::timeout(PREPARED, self.prepare(&change)).await;
                prepared.unwrap_or(Err(FleetError::Unprepared))?
            } else {
                Done { replicas: change.to, ..Done::default() }
            };
            if done.replicas != change.from {
                self.write(change.from, done.replicas).await?;
                self.tell(Change { to: done.replicas, ..change });
            }
            Ok(done)
        }
        .boxed()
    }
}

//! A Deployment as a fleet.

use super::{
    super::{children::Children, context::Context, events::Events},
    victims::{Candidate, DELETION_COST, LOW, Stage, choose},
    write,
};
use crate::{
    crd::ProcessingPipeline,
    labels::{self, Side},
    scaling::fleet::{Change, Done, Fleet, FleetError, Replicas},
};
use futures::future::{BoxFuture, FutureExt as _, try_join_all};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ObjectReference, Pod};
use kube::{
    Api, Client, Resource as _, ResourceExt as _,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use std::sync::Arc;

/// A pod that is older and whose worker does not run has no room or no image, or fails: it will hardly take a request now.
const STUCK: SignedDuration = SignedDuration::from_secs(30);

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

    /// Makes sure that those that go are idle; what may be done then.
    async fn prepare(&self, change: &Change) -> Result<Done, FleetError> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let pods = api.list(&ListParams::default().labels(&self.selector)).await?;
        let staying = pods.items.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none());
        let now = Timestamp::now();
        let candidates: Vec<_> = staying.map(|pod| candidate(pod, now)).collect();
        let choice = choose(&candidates, change.from - change.to, &change.idle);
        let marks = choice.mark.iter().map(|name| (name, json!(LOW)));
        let unmarks = choice.unmark.iter().map(|name| (name, Value::Null));
        try_join_all(marks.chain(unmarks).map(|(name, cost)| mark(&api, name, cost))).await?;
        let leaving = u32::try_from(choice.going.len()).unwrap_or(u32::MAX);
        Ok(Done { replicas: change.from.saturating_sub(leaving), going: choice.going })
    }
}

async fn mark(api: &Api<Pod>, name: &str, cost: Value) -> kube::Result<()> {
    let patch = Patch::Merge(json!({"metadata": {"annotations": {DELETION_COST: cost}}}));
    match api.patch_metadata(name, &PatchParams::default(), &patch).await {
        Ok(_) => Ok(()),
        // It has gone by itself.
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(error) => Err(error),
    }
}

fn candidate(pod: &Pod, now: Timestamp) -> Candidate {
    let age = pod.metadata.creation_timestamp.as_ref().map(|created| now.duration_since(created.0));
    Candidate {
        name: pod.name_any(),
        stage: stage(pod),
        may_work: runs(pod) || age.is_none_or(|age| age < STUCK),
        marked: pod.annotations().get(DELETION_COST).is_some_and(|cost| cost == LOW),
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

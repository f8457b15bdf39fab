//! A Deployment as a fleet.

use super::{
    super::{children::Children, context::Context, events::Events},
    victims::{Candidate, DELETION_COST, LOW, choose},
    write,
};
use crate::{
    crd::ProcessingPipeline,
    labels::{self, Side},
    scaling::fleet::{Change, Fleet, FleetError, Replicas},
};
use futures::future::{BoxFuture, FutureExt as _, try_join_all};
use k8s_openapi::api::core::v1::{ObjectReference, Pod};
use kube::{
    Api, Client, Resource as _, ResourceExt as _,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use std::sync::Arc;

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

    /// Makes sure that those that go are idle; how many replicas are left then.
    async fn prepare(&self, change: &Change) -> Result<u32, FleetError> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let pods = api.list(&ListParams::default().labels(&self.selector)).await?;
        let staying = pods.items.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none());
        let candidates: Vec<_> = staying.map(candidate).collect();
        let choice = choose(&candidates, change.from - change.to, &change.idle, &change.busy);
        let marks = choice.mark.iter().map(|name| (name, json!(LOW)));
        let unmarks = choice.unmark.iter().map(|name| (name, Value::Null));
        try_join_all(marks.chain(unmarks).map(|(name, cost)| mark(&api, name, cost))).await?;
        Ok(change.from - choice.going)
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

fn candidate(pod: &Pod) -> Candidate {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    Candidate {
        name: pod.name_any(),
        ready: conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True"),
        marked: pod.annotations().get(DELETION_COST).is_some_and(|cost| cost == LOW),
    }
}

impl Fleet for DeploymentFleet {
    fn replicas(&self) -> Option<Replicas> {
        let deployment = self.children.get("Deployment", &self.namespace, &self.name)?;
        let count = |number: Option<i32>| number.and_then(|number| u32::try_from(number).ok());
        let ready = deployment.deployment.and_then(|(_, status)| count(status.ready_replicas)).unwrap_or(0);
        Some(Replicas { asked: count(deployment.replicas).unwrap_or(1), ready })
    }

    fn set(&self, change: Change) -> BoxFuture<'_, Result<u32, FleetError>> {
        async move {
            let to = if change.to < change.from { self.prepare(&change).await? } else { change.to };
            if to != change.from {
                write(&self.client, &self.namespace, &self.name, to).await?;
                self.events.scaled(&self.pipeline, &Change { to, ..change }).await;
            }
            Ok(to)
        }
        .boxed()
    }
}

//! What Kubernetes holds of the objects that Warren owns, as far as the controller needs to know it.
//!
//! Every object with Warren's label is watched. Of each, only who owns it, how many replicas it has and a fingerprint
//! of everything that somebody could have edited is kept: a thousand pipelines have seven thousand objects.

mod child;
mod rollout;
mod seen;

pub use child::{Child, fingerprint};
pub use rollout::Rollout;

use super::{scope::Scope, watching};
use crate::{
    crd::ProcessingPipeline,
    labels::{MANAGED_BY, MANAGED_BY_LABEL},
};
use futures::{Stream, StreamExt as _, TryStreamExt as _, future::ready};
use k8s_openapi::api::{
    apps::v1::Deployment,
    autoscaling::v2::HorizontalPodAutoscaler,
    core::v1::{PersistentVolumeClaim, Service, ServiceAccount},
    networking::v1::NetworkPolicy,
    policy::v1::PodDisruptionBudget,
};
use kube::{
    Client,
    api::{ApiResource, DynamicObject},
    runtime::{WatchStreamExt as _, reflector::ObjectRef, watcher},
};
use seen::Seen;
use std::sync::Arc;

/// The label that names the pipeline.
const INSTANCE: &str = "app.kubernetes.io/instance";

/// The kinds of objects that a pipeline may have.
#[must_use]
pub fn kinds() -> [ApiResource; 7] {
    [
        ApiResource::erase::<ServiceAccount>(&()),
        ApiResource::erase::<NetworkPolicy>(&()),
        ApiResource::erase::<PersistentVolumeClaim>(&()),
        ApiResource::erase::<Service>(&()),
        ApiResource::erase::<Deployment>(&()),
        ApiResource::erase::<HorizontalPodAutoscaler>(&()),
        ApiResource::erase::<PodDisruptionBudget>(&()),
    ]
}

/// The watched objects of all pipelines.
pub struct Children {
    kinds: Vec<(String, Arc<Seen>)>,
}

impl Children {
    /// Starts watching. The stream names the pipeline of each object that was touched, and must be polled.
    pub fn watch(client: &Client, scope: &Scope) -> (Self, impl Stream<Item = ObjectRef<ProcessingPipeline>> + use<>) {
        let (mut known, mut streams) = (Vec::new(), Vec::new());
        for kind in kinds() {
            let seen = Arc::<Seen>::default();
            streams.push(watch_kind(client, scope, &kind, seen.clone()).boxed());
            known.push((kind.kind, seen));
        }
        (Self { kinds: known }, futures::stream::select_all(streams))
    }

    /// Waits until all that exists has been seen.
    pub async fn ready(&self) {
        for (_, seen) in &self.kinds {
            seen.complete().await;
        }
    }

    /// The object `kind`/`name` in `namespace`, if it exists and is labelled as Warren's.
    #[must_use]
    pub fn get(&self, kind: &str, namespace: &str, name: &str) -> Option<Child> {
        self.kinds.iter().find(|(known, _)| known == kind)?.1.get(namespace, name)
    }
}

fn watch_kind(
    client: &Client,
    scope: &Scope,
    kind: &ApiResource,
    seen: Arc<Seen>,
) -> impl Stream<Item = ObjectRef<ProcessingPipeline>> + use<> {
    let config = watching::config().labels(&format!("{MANAGED_BY_LABEL}={MANAGED_BY}"));
    let watch = watcher(scope.dynamic(client, kind), config).default_backoff();
    let plural = kind.plural.clone();
    let touched = watch.inspect_ok(move |event| seen.take(event)).touched_objects();
    touched.filter_map(move |object| ready(watching::seen(&plural, object).as_ref().and_then(pipeline_of)))
}

/// By label rather than by owner: a claim that outlives its pipeline has no owner.
fn pipeline_of(object: &DynamicObject) -> Option<ObjectRef<ProcessingPipeline>> {
    let name = object.metadata.labels.as_ref()?.get(INSTANCE)?;
    Some(ObjectRef::new(name).within(object.metadata.namespace.as_deref()?))
}

//! What Kubernetes holds of the objects that Warren owns, as far as the controller needs to know it.
//!
//! Every object with Warren's label is watched. Of each, only who owns it, how many replicas it has and a fingerprint
//! of everything that somebody could have edited is kept: a thousand pipelines have seven thousand objects.

use super::{scope::Scope, watching};
use crate::{
    crd::ProcessingPipeline,
    labels::{MANAGED_BY, MANAGED_BY_LABEL},
};
use futures::{Stream, StreamExt as _};
use k8s_openapi::api::{
    apps::v1::{Deployment, DeploymentStatus},
    autoscaling::v2::HorizontalPodAutoscaler,
    core::v1::{PersistentVolumeClaim, Service, ServiceAccount},
    networking::v1::NetworkPolicy,
    policy::v1::PodDisruptionBudget,
};
use kube::{
    Client, Resource as _,
    api::{ApiResource, DynamicObject},
    runtime::{
        WatchStreamExt as _,
        reflector::{self, ObjectRef, Store},
        watcher,
    },
};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// The label that names the pipeline.
const INSTANCE: &str = "app.kubernetes.io/instance";

/// What is kept of an object's content.
#[derive(Default, Deserialize)]
struct Summary {
    fingerprint: String,
    replicas: Option<i32>,
    status: Option<DeploymentStatus>,
}

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
    stores: Vec<(ApiResource, Store<DynamicObject>)>,
}

/// What is known of one object.
#[derive(Clone, Debug, PartialEq)]
pub struct Child {
    /// Its uid.
    pub uid: String,
    /// The uid of the object that controls it.
    pub owner: Option<String>,
    /// Changes whenever somebody edits the object; see [`fingerprint`].
    pub fingerprint: String,
    /// A Deployment's `spec.replicas`.
    pub replicas: Option<i32>,
    /// A Deployment's generation and status.
    pub deployment: Option<(i64, DeploymentStatus)>,
}

impl Children {
    /// Starts watching. The stream names the pipeline of each object that was touched, and must be polled.
    pub fn watch(client: &Client, scope: &Scope) -> (Self, impl Stream<Item = ObjectRef<ProcessingPipeline>> + use<>) {
        let (mut stores, mut streams) = (Vec::new(), Vec::new());
        for kind in kinds() {
            let (store, touched) = watch_kind(client, scope, &kind);
            stores.push((kind, store));
            streams.push(touched.boxed());
        }
        (Self { stores }, futures::stream::select_all(streams))
    }

    /// Waits until all that exists has been seen.
    pub async fn ready(&self) {
        for (_, store) in &self.stores {
            // An error means that the watch has ended, and with it the controller.
            let _ = store.wait_until_ready().await;
        }
    }

    /// The object `kind`/`name` in `namespace`, if it exists and is labelled as Warren's.
    #[must_use]
    pub fn get(&self, kind: &str, namespace: &str, name: &str) -> Option<Child> {
        let (resource, store) = self.stores.iter().find(|(resource, _)| resource.kind == kind)?;
        let object = store.get(&ObjectRef::new_with(name, resource.clone()).within(namespace))?;
        Some(Child::read(&object))
    }
}

fn watch_kind(
    client: &Client,
    scope: &Scope,
    kind: &ApiResource,
) -> (Store<DynamicObject>, impl Stream<Item = ObjectRef<ProcessingPipeline>> + use<>) {
    let writer = reflector::store::Writer::new(kind.clone());
    let store = writer.as_reader();
    let config = watching::config().labels(&format!("{MANAGED_BY_LABEL}={MANAGED_BY}"));
    let watch = watcher(scope.dynamic(client, kind), config).modify(summarise).default_backoff();
    let plural = kind.plural.clone();
    let touched = reflector::reflector(writer, watch).touched_objects().filter_map(move |object| {
        let pipeline = watching::seen(&plural, object).and_then(|object| pipeline_of(&object));
        async move { pipeline }
    });
    (store, touched)
}

/// By label rather than by owner: a claim that outlives its pipeline has no owner.
fn pipeline_of(object: &DynamicObject) -> Option<ObjectRef<ProcessingPipeline>> {
    let name = object.metadata.labels.as_ref()?.get(INSTANCE)?;
    Some(ObjectRef::new(name).within(object.metadata.namespace.as_deref()?))
}

/// Replaces an object's content by what [`Child`] reads, as JSON text: a tree of maps takes several times as much.
fn summarise(object: &mut DynamicObject) {
    let summary = json!({
        "fingerprint": fingerprint(object),
        "replicas": object.data["spec"]["replicas"],
        "status": if is_deployment(object) { object.data["status"].take() } else { Value::Null },
    });
    object.data = summary.to_string().into();
    object.metadata.managed_fields = None;
    object.metadata.annotations = None;
    if let Some(labels) = &mut object.metadata.labels {
        labels.retain(|label, _| label == INSTANCE);
    }
}

fn is_deployment(object: &DynamicObject) -> bool {
    object.types.as_ref().is_some_and(|types| types.kind == Deployment::kind(&()))
}

/// A digest of what people, and not controllers, write: labels, annotations, owners and everything but the status.
#[must_use]
pub fn fingerprint(object: &DynamicObject) -> String {
    let metadata = &object.metadata;
    let mut annotations = metadata.annotations.clone().unwrap_or_default();
    // Kubernetes' own bookkeeping.
    annotations.retain(|key, _| !key.starts_with("deployment.kubernetes.io/") && !key.starts_with("pv.kubernetes.io/"));
    let content = object.data.as_object().into_iter().flatten().filter(|(key, _)| *key != "status");
    let content: Vec<_> = content.map(|(key, value)| (key, value.to_string())).collect();
    digest(&json!([metadata.labels, annotations, metadata.owner_references, content]))
}

/// A short digest of a JSON value.
#[must_use]
pub fn digest(value: &Value) -> String {
    let hash = Sha256::digest(value.to_string());
    hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

impl Child {
    fn read(object: &DynamicObject) -> Self {
        let metadata = &object.metadata;
        let owners = metadata.owner_references.iter().flatten();
        // It was written here, so it can be read.
        let summary: Summary =
            object.data.as_str().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        Self {
            uid: metadata.uid.clone().unwrap_or_default(),
            owner: owners.clone().find(|owner| owner.controller == Some(true)).map(|owner| owner.uid.clone()),
            fingerprint: summary.fingerprint,
            replicas: summary.replicas,
            deployment: summary.status.map(|status| (metadata.generation.unwrap_or_default(), status)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment(replicas: i32, annotations: Value) -> DynamicObject {
        serde_json::from_value(json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "p-web", "uid": "7", "generation": 3, "resourceVersion": "8", "annotations": annotations,
                "ownerReferences": [{"apiVersion": "v1", "kind": "X", "name": "p", "uid": "9", "controller": true}]},
            "spec": {"replicas": replicas, "template": {}},
            "status": {"readyReplicas": 1},
        }))
        .expect("an object")
    }

    #[test]
    fn a_fingerprint_follows_edits_and_not_kubernetes_own_bookkeeping() {
        let original = fingerprint(&deployment(1, json!({})));
        let mut observed = deployment(1, json!({"deployment.kubernetes.io/revision": "4"}));
        observed.data["status"]["readyReplicas"] = 0.into();
        observed.metadata.resource_version = Some("9".into());
        assert_eq!(fingerprint(&observed), original);
        assert_ne!(fingerprint(&deployment(2, json!({}))), original);
        assert_ne!(fingerprint(&deployment(1, json!({"mine": "yes"}))), original);
    }

    #[test]
    fn a_summary_keeps_what_the_controller_reads() {
        let mut object = deployment(5, json!({}));
        let print = fingerprint(&object);
        summarise(&mut object);
        let child = Child::read(&object);
        assert_eq!((child.uid.as_str(), child.owner.as_deref(), child.replicas), ("7", Some("9"), Some(5)));
        assert_eq!(child.fingerprint, print);
        let (generation, status) = child.deployment.expect("is a Deployment");
        assert_eq!((generation, status.ready_replicas), (3, Some(1)));
    }
}

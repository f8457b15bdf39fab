//! What is known of one object.

use super::{super::digest::Digest, rollout::Rollout};
use k8s_openapi::api::apps::v1::{Deployment, DeploymentStatus};
use kube::{Resource as _, api::DynamicObject};
use serde_json::json;

/// What is known of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Child {
    /// Its uid.
    pub uid: Box<str>,
    /// The uid of the object that controls it.
    pub owner: Option<Box<str>>,
    /// Changes whenever somebody edits the object; see [`fingerprint`].
    pub fingerprint: Digest,
    /// A Deployment's `spec.replicas`.
    pub replicas: Option<i32>,
    /// How far a Deployment's replicas are.
    pub rollout: Option<Box<Rollout>>,
}

impl Child {
    /// Of an object as the API server shows it.
    #[must_use]
    pub fn read(object: &DynamicObject) -> Self {
        let metadata = &object.metadata;
        let mut owners = metadata.owner_references.iter().flatten();
        let owner = owners.find(|owner| owner.controller == Some(true));
        Self {
            uid: metadata.uid.as_deref().unwrap_or_default().into(),
            owner: owner.map(|owner| owner.uid.as_str().into()),
            fingerprint: fingerprint(object),
            replicas: object.data["spec"]["replicas"].as_i64().and_then(|replicas| replicas.try_into().ok()),
            rollout: rollout(object).map(Box::new),
        }
    }
}

fn rollout(object: &DynamicObject) -> Option<Rollout> {
    object.types.as_ref().filter(|types| types.kind == Deployment::kind(&()))?;
    let status = object.data.get("status")?;
    // The API server made it of this very type.
    let status = <DeploymentStatus as serde::Deserialize>::deserialize(status).ok()?;
    Some(Rollout::read(&status, object.metadata.generation))
}

/// A digest of what people, and not controllers, write: labels, annotations, owners and everything but the status.
#[must_use]
pub fn fingerprint(object: &DynamicObject) -> Digest {
    let metadata = &object.metadata;
    let mut annotations = metadata.annotations.clone().unwrap_or_default();
    // Kubernetes' own bookkeeping.
    annotations.retain(|key, _| !key.starts_with("deployment.kubernetes.io/") && !key.starts_with("pv.kubernetes.io/"));
    let content = object.data.as_object().into_iter().flatten().filter(|(key, _)| *key != "status");
    let content: Vec<_> = content.map(|(key, value)| (key, value.to_string())).collect();
    Digest::of(&json!([metadata.labels, annotations, metadata.owner_references, content]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn deployment(replicas: i32, annotations: Value) -> DynamicObject {
        serde_json::from_value(json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "p-web", "uid": "7", "generation": 3, "resourceVersion": "8", "annotations": annotations,
                "ownerReferences": [{"apiVersion": "v1", "kind": "X", "name": "p", "uid": "9", "controller": true}]},
            "spec": {"replicas": replicas, "template": {}},
            "status": {"readyReplicas": 1, "observedGeneration": 3},
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
    fn of_a_deployment_its_owner_its_number_and_how_far_it_is_are_known() {
        let child = Child::read(&deployment(5, json!({})));
        assert_eq!((&*child.uid, child.owner.as_deref(), child.replicas), ("7", Some("9"), Some(5)));
        let rollout = child.rollout.expect("is a Deployment");
        assert_eq!((rollout.is_current, rollout.ready), (true, 1));
    }
}

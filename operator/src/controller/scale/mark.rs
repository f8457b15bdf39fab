//! The mark by which Kubernetes finds the pods that should go, and whether it has noted it.
//!
//! The ReplicaSet controller hears of pods on another way than of their number. On a busy machine the number came first:
//! it then ended pods without a look at their new costs, and spared those that took no requests any more (in two of nine
//! bursts of `make bench-burst`). What it has heard shows in `status.fullyLabeledReplicas`, the number of pods with all
//! labels of the template: a pod that should go loses one of them ([`LABEL`]) in the same write that gives it a low cost,
//! and the number is written when the status counts it no more.

use crate::labels::{MANAGED_BY, MANAGED_BY_LABEL};
use k8s_openapi::api::{apps::v1::ReplicaSet, core::v1::Pod};
use kube::ResourceExt as _;
use serde_json::{Value, json};

/// The annotation that Kubernetes goes by.
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
/// The cost of a pod that should go; others have none, which is 0.
const LOW: &str = "-100";
/// The label of the template that a pod loses when it should go. No selector of Warren's has it.
const LABEL: &str = MANAGED_BY_LABEL;

/// What a pod that should go has, for Kubernetes to find it first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Nothing.
    None,
    /// Less than all of it.
    Part,
    /// All of it.
    Full,
}

/// What a pod has of the mark.
pub fn mark_of(pod: &Pod) -> Mark {
    let has_cost = pod.annotations().get(DELETION_COST).is_some_and(|cost| cost == LOW);
    match (has_cost, !pod.labels().contains_key(LABEL)) {
        (true, true) => Mark::Full,
        (false, false) => Mark::None,
        _ => Mark::Part,
    }
}

/// The change that marks a pod, or takes the mark back.
pub fn patch(goes: bool) -> Value {
    let (cost, label) = if goes { (json!(LOW), Value::Null) } else { (Value::Null, json!(MANAGED_BY)) };
    json!({"metadata": {"annotations": {DELETION_COST: cost}, "labels": {LABEL: label}}})
}

/// The ReplicaSet that a pod belongs to.
pub fn owner(pod: &Pod) -> Option<&str> {
    let owner = pod.owner_references().iter().find(|owner| owner.kind == "ReplicaSet");
    owner.map(|owner| owner.name.as_str())
}

/// Whether the controller has heard what labels these pods of its ReplicaSet have: as many as it counts lack one of the
/// template's, ours or another that somebody has changed.
pub fn has_noted<'a>(set: &ReplicaSet, pods: impl IntoIterator<Item = &'a Pod>) -> bool {
    let template = set.spec.template.as_ref().and_then(|template| template.metadata.as_ref()?.labels.as_ref());
    let has_all = |pod: &Pod| template.into_iter().flatten().all(|(name, value)| pod.labels().get(name) == Some(value));
    let unlabelled = pods.into_iter().filter(|pod| !has_all(pod)).count();
    set.status.as_ref().is_some_and(|status| {
        usize::try_from(status.replicas - status.fully_labeled_replicas.unwrap_or(0)) == Ok(unlabelled)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str, set: &str) -> Pod {
        let owner = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": set, "uid": set, "controller": true});
        let metadata = json!({"name": name, "labels": {LABEL: MANAGED_BY}, "ownerReferences": [owner]});
        serde_json::from_value(json!({"metadata": metadata})).expect("is a pod")
    }

    fn patched(pod: &Pod, goes: bool) -> Pod {
        let mut value = serde_json::to_value(pod).expect("has string keys");
        json_patch(&mut value, &patch(goes));
        serde_json::from_value(value).expect("is a pod")
    }

    /// A merge patch (RFC 7396).
    fn json_patch(value: &mut Value, patch: &Value) {
        for (key, change) in patch.as_object().expect("only objects are changed") {
            match change {
                Value::Null => drop(value.as_object_mut().expect("is one").remove(key)),
                Value::Object(_) => json_patch(&mut value[key], change),
                other => value[key] = other.clone(),
            }
        }
    }

    #[test]
    fn a_marked_pod_is_known_by_cost_and_label_until_the_mark_is_taken_back() {
        let mut pod = pod("a", "one");
        pod.annotations_mut().insert("other".into(), "stays".into());
        assert_eq!((mark_of(&pod), owner(&pod)), (Mark::None, Some("one")));
        let marked = patched(&pod, true);
        assert_eq!(mark_of(&marked), Mark::Full);
        assert_eq!(patched(&marked, false), pod);
    }

    #[test]
    fn a_mark_of_which_somebody_removed_a_part_is_no_full_one() {
        let mut half = patched(&pod("a", "one"), true);
        half.labels_mut().insert(LABEL.into(), MANAGED_BY.into());
        assert_eq!(mark_of(&half), Mark::Part, "as an older operator left it");
        let mut half = patched(&pod("a", "one"), true);
        half.annotations_mut().clear();
        assert_eq!(mark_of(&half), Mark::Part);
    }

    #[test]
    fn the_controller_knows_them_when_its_count_of_labelled_pods_says_so() {
        let pods = [patched(&pod("a", "one"), true), pod("b", "one")];
        let set = |status: Value| {
            let template = json!({"metadata": {"labels": {LABEL: MANAGED_BY}}});
            let spec = json!({"selector": {}, "template": template});
            serde_json::from_value(json!({"metadata": {}, "spec": spec, "status": status})).expect("is a set")
        };
        assert!(!has_noted(&set(json!({"replicas": 2, "fullyLabeledReplicas": 2})), &pods));
        assert!(has_noted(&set(json!({"replicas": 2, "fullyLabeledReplicas": 1})), &pods));
        assert!(!has_noted(&set(json!({"replicas": 2})), &pods), "one of an earlier time");
        assert!(has_noted(&set(json!({"replicas": 1})), &pods[..1]), "no pod is counted");
        assert!(!has_noted(&serde_json::from_value(json!({"metadata": {}})).expect("is a set"), &[]));
    }

    #[test]
    fn a_label_that_somebody_else_has_changed_is_expected_to_be_missed() {
        let mut odd = pod("b", "one");
        odd.labels_mut().insert("team".into(), "other".into());
        let template = json!({"metadata": {"labels": {LABEL: MANAGED_BY, "team": "ours"}}});
        let status = json!({"replicas": 2, "fullyLabeledReplicas": 0});
        let set = json!({"metadata": {}, "spec": {"selector": {}, "template": template}, "status": status});
        let set = serde_json::from_value(set).expect("is a set");
        assert!(has_noted(&set, &[patched(&pod("a", "one"), true), odd]));
    }
}

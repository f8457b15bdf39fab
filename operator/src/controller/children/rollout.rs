//! How far a Deployment's replicas are.

use k8s_openapi::api::apps::v1::{DeploymentCondition, DeploymentStatus};

/// How far a Deployment's replicas are, as Kubernetes tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rollout {
    /// Whether this is said of the Deployment as it is now.
    pub is_current: bool,
    /// Pods that there are.
    pub replicas: i32,
    /// Those of them that run what the Deployment says now.
    pub updated: i32,
    /// Those of them that are ready.
    pub ready: i32,
    /// Why Kubernetes refuses to make pods.
    pub refusal: Option<Box<str>>,
    /// Whether the Deployment has given up waiting for its new pods.
    pub is_stuck: bool,
}

impl Rollout {
    /// Reads the status of a Deployment of this generation.
    #[must_use]
    pub fn read(status: &DeploymentStatus, generation: Option<i64>) -> Self {
        let conditions = status.conditions.iter().flatten();
        Self {
            is_current: status.observed_generation == Some(generation.unwrap_or_default()),
            replicas: status.replicas.unwrap_or(0),
            updated: status.updated_replicas.unwrap_or(0),
            ready: status.ready_replicas.unwrap_or(0),
            refusal: conditions.clone().find_map(refusal).map(Into::into),
            is_stuck: conditions.clone().any(|one| one.reason.as_deref() == Some("ProgressDeadlineExceeded")),
        }
    }

    /// Whether no pod runs anything but what the Deployment says now.
    #[must_use]
    pub fn is_one_version(&self) -> bool {
        self.is_current && self.updated == self.replicas
    }

    /// Whether all of the `wanted` replicas, and no others, run what the Deployment says now.
    #[must_use]
    pub fn is_complete(&self, wanted: i32) -> bool {
        self.is_current && self.updated >= wanted && self.ready >= wanted && self.replicas <= wanted
    }
}

fn refusal(condition: &DeploymentCondition) -> Option<&str> {
    let holds = condition.type_.as_deref() == Some("ReplicaFailure") && condition.status.as_deref() == Some("True");
    holds.then(|| condition.message.as_deref().unwrap_or("it says no reason"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rollout(status: serde_json::Value) -> Rollout {
        Rollout::read(&serde_json::from_value(status).expect("a status"), Some(2))
    }

    #[test]
    fn a_rollout_is_complete_when_the_latest_version_is_all_that_runs() {
        let status = |generation, replicas| json!({"observedGeneration": generation, "replicas": replicas, "updatedReplicas": 2, "readyReplicas": 2});
        assert!(rollout(status(2, 2)).is_complete(2));
        assert!(!rollout(status(1, 2)).is_complete(2), "said of an earlier version");
        assert!(!rollout(status(2, 3)).is_complete(2), "an older pod is still there");
        assert!(!rollout(status(2, 2)).is_complete(3), "one is missing");
    }

    #[test]
    fn refused_pods_and_pods_that_do_not_come_are_told_apart() {
        let condition = |type_, status, reason| json!({"conditions": [{"type": type_, "status": status, "reason": reason, "message": "exceeded quota"}]});
        let refused = rollout(condition("ReplicaFailure", "True", "FailedCreate"));
        assert_eq!((refused.refusal.as_deref(), refused.is_stuck), (Some("exceeded quota"), false));
        let stuck = rollout(condition("Progressing", "False", "ProgressDeadlineExceeded"));
        assert_eq!((stuck.refusal, stuck.is_stuck), (None, true));
        assert_eq!(rollout(condition("ReplicaFailure", "False", "FailedCreate")).refusal, None, "it is over");
    }
}

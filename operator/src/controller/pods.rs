//! What pods that are not ready suffer from. Asked only while a side has fewer than it should.

use super::{problem::Problem, scope::Scope};
use crate::{
    crd::ProcessingPipeline,
    labels::{self, Side},
};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::{Api, Client, ResourceExt as _, api::ListParams, core::PartialObjectMeta};
use std::fmt;

/// The state of a container that ends again and again.
const CRASHING: &str = "CrashLoopBackOff";

/// The state of a pod for which no node has room.
const UNSCHEDULABLE: &str = "Unschedulable";

/// States in which a container waits for a person rather than for time.
const WAITS_FOR_A_PERSON: [&str; 8] = [
    CRASHING,
    "CreateContainerConfigError",
    "CreateContainerError",
    "ErrImageNeverPull",
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "RunContainerError",
];

/// What keeps a pod from running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    pod: String,
    container: String,
    reason: String,
    message: String,
}

#[cfg(test)]
impl Trouble {
    /// That of a pod for which no node has room.
    pub fn unschedulable(pod: &str) -> Self {
        Self { pod: pod.into(), container: "c".into(), reason: UNSCHEDULABLE.into(), message: String::new() }
    }
}

impl Trouble {
    /// Whether no node has room, so that time may help: a cluster that grows adds one.
    #[must_use]
    pub fn is_want_of_a_node(&self) -> bool {
        self.reason == UNSCHEDULABLE
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pod, container, reason, message } = self;
        let colon = if message.is_empty() { "" } else { ": " };
        let look =
            if reason == CRASHING { format!("logs {pod} -c {container}") } else { format!("describe pod {pod}") };
        if self.is_want_of_a_node() {
            return write!(f, "pod {pod} is {reason}{colon}{message}; see `kubectl {look}`");
        }
        write!(f, "container `{container}` is in {reason}{colon}{message}; see `kubectl {look}`")
    }
}

/// The pods of one side of a pipeline.
pub struct Matching<'a> {
    client: &'a Client,
    namespace: String,
    selector: String,
}

impl<'a> Matching<'a> {
    /// The pods of `side` of `pipeline`.
    #[must_use]
    pub fn new(client: &'a Client, pipeline: &ProcessingPipeline, side: Side) -> Self {
        let selector = labels::selector_text(&side.selector(&pipeline.name_any()));
        Self { client, namespace: pipeline.namespace().unwrap_or_default(), selector }
    }

    /// How many there are, those that are ending included.
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn count(&self) -> Result<usize, Problem> {
        let api: Api<PartialObjectMeta<Pod>> = Scope::Namespace(self.namespace.clone()).api(self.client);
        let listed = api.list_metadata(&ListParams::default().labels(&self.selector)).await;
        listed.map(|pods| pods.items.len()).map_err(|source| Problem::Api { doing: "list pods".into(), source })
    }
}

/// The trouble of the first pod in trouble, if any. A failed look counts as none: the Deployment's own status remains.
pub async fn trouble(client: &Client, namespace: &str, selector: &str) -> Option<Trouble> {
    let api: Api<Pod> = Scope::Namespace(namespace.into()).api(client);
    let pods = api.list(&ListParams::default().labels(selector)).await;
    let pods = pods.inspect_err(|error| tracing::debug!("cannot list pods of {namespace}: {error}")).ok()?;
    pods.items.iter().find_map(of_pod)
}

fn of_pod(pod: &Pod) -> Option<Trouble> {
    let status = pod.status.as_ref()?;
    let containers = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
    let name = pod.metadata.name.clone().unwrap_or_default();
    let found = containers.into_iter().find_map(|container| of_container(&name, container));
    found.or_else(|| unschedulable(&name, pod))
}

fn of_container(pod: &str, container: &ContainerStatus) -> Option<Trouble> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let reason = waiting.reason.as_deref().filter(|reason| WAITS_FOR_A_PERSON.contains(reason))?;
    let last = container.last_state.as_ref().and_then(|state| state.terminated.as_ref());
    let message = match (reason, last) {
        (CRASHING, Some(last)) => {
            let why = last.reason.as_deref().filter(|reason| *reason != "Error").map(|why| format!(", {why}"));
            format!("it ended with status {}{}", last.exit_code, why.unwrap_or_default())
        }
        _ => waiting.message.clone().unwrap_or_default(),
    };
    Some(Trouble { pod: pod.into(), container: container.name.clone(), reason: reason.into(), message })
}

fn unschedulable(pod: &str, object: &Pod) -> Option<Trouble> {
    let conditions = object.status.as_ref()?.conditions.as_ref()?;
    let condition = conditions.iter().find(|condition| condition.reason.as_deref() == Some(UNSCHEDULABLE))?;
    let container = object.spec.as_ref()?.containers.first()?.name.clone();
    Some(Trouble {
        pod: pod.into(),
        container,
        reason: UNSCHEDULABLE.into(),
        message: condition.message.clone().unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(status: serde_json::Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "p-web-1"},
            "spec": {"containers": [{"name": "web-service"}]}, "status": status}))
        .expect("a pod")
    }

    #[test]
    fn a_missing_image_is_told_in_kubernetes_own_words() {
        let trouble = of_pod(&pod(
            json!({"containerStatuses": [{"name": "handler", "image": "i", "imageID": "", "ready": false,
            "restartCount": 0, "state": {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image \"x\""}}}]}),
        ));
        let text = trouble.expect("in trouble").to_string();
        assert!(text.contains("`handler` is in ImagePullBackOff: Back-off pulling image \"x\""), "{text}");
    }

    #[test]
    fn a_container_that_keeps_ending_is_told_with_its_status() {
        let trouble =
            of_pod(&pod(json!({"containerStatuses": [{"name": "handler", "image": "i", "imageID": "", "ready": false,
            "restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}]})));
        let text = trouble.expect("in trouble").to_string();
        assert!(text.contains("status 137, OOMKilled") && text.contains("kubectl logs p-web-1 -c handler"), "{text}");
    }

    #[test]
    fn a_container_that_is_being_created_is_in_no_trouble() {
        let starting =
            pod(json!({"containerStatuses": [{"name": "handler", "image": "i", "imageID": "", "ready": false,
            "restartCount": 0, "state": {"waiting": {"reason": "ContainerCreating"}}}]}));
        assert_eq!(of_pod(&starting), None);
    }

    #[test]
    fn a_pod_for_which_no_node_has_room_is_in_trouble() {
        let trouble = of_pod(&pod(json!({"conditions": [{"type": "PodScheduled", "status": "False",
            "reason": "Unschedulable", "message": "0/3 nodes are available: 3 Insufficient cpu."}]})));
        assert!(trouble.expect("in trouble").to_string().contains("Insufficient cpu"));
    }
}

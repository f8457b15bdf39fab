//! Hands the number of web replicas from the spec to a HorizontalPodAutoscaler, and brings back from 0 what it would
//! leave there.

use super::{context::Context, prepare::Prepared, problem::Problem};
use crate::{
    crd::ProcessingPipeline,
    labels::Side,
    validate::{Web, WebReplicas},
};
use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Api, Client, ResourceExt as _,
    api::{Patch, PatchParams},
};
use serde_json::json;

/// The field manager of a number that is kept.
const FIELD_MANAGER: &str = "warren-handover";

/// Before a Deployment is applied that names no number any more: a number that nobody else has applied would go back to
/// Kubernetes' default, which is 1, whatever the load.
///
/// # Errors
/// The API server refuses.
pub async fn web_replicas(
    resource: &ProcessingPipeline,
    prepared: &Prepared,
    context: &Context,
) -> Result<(), Problem> {
    let (namespace, name) = (resource.namespace().unwrap_or_default(), Side::Web.object_name(&resource.name_any()));
    let Some(deployment) = context.children.get("Deployment", &namespace, &name) else { return Ok(()) };
    let is_autoscaled = context.children.get("HorizontalPodAutoscaler", &namespace, &name).is_some();
    let kept = prepared.pipeline.web.as_ref().and_then(|web| kept(web, deployment.replicas?, is_autoscaled));
    match kept {
        Some(replicas) => keep(&context.client, &namespace, &name, replicas).await.map_err(|source| {
            let doing = format!("keep the replicas of Deployment {name}");
            Problem::Api { doing, source }
        }),
        None => Ok(()),
    }
}

/// Pure: the number to be kept, if any. An autoscaler that is there already writes the number itself, but for 0, which
/// switches it off.
fn kept(web: &Web, replicas: i32, is_autoscaled: bool) -> Option<i32> {
    let WebReplicas::Autoscaled(autoscaling) = &web.replicas else { return None };
    match replicas {
        0 => Some(autoscaling.min_replicas),
        _ if is_autoscaled => None,
        _ => Some(replicas.clamp(autoscaling.min_replicas, autoscaling.max_replicas)),
    }
}

async fn keep(client: &Client, namespace: &str, name: &str, replicas: i32) -> kube::Result<()> {
    let api: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let scale = json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": name},
        "spec": {"replicas": replicas}});
    api.patch_scale(name, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(scale)).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        crd::web::WebAutoscaling,
        validate::{self, Pipeline},
    };

    fn web(replicas: WebReplicas) -> Web {
        let resource = serde_json::from_value(json!({
            "apiVersion": "warren.dev/v1alpha1", "kind": "ProcessingPipeline", "metadata": {"name": "p"},
            "spec": {"broker": {"secretRef": {"name": "r", "key": "url"}}, "processor": {"handler": {"demo": {}}}},
        }));
        let pipeline: Pipeline = validate::validate(&resource.expect("a pipeline")).expect("valid");
        Web { replicas, ..pipeline.web.expect("managed") }
    }

    #[test]
    fn a_number_is_kept_until_the_autoscaler_is_there_and_never_0() {
        let autoscaled =
            web(WebReplicas::Autoscaled(WebAutoscaling { min_replicas: 2, max_replicas: 6, ..Default::default() }));
        for (replicas, is_autoscaled, expected) in
            [(5, false, Some(5)), (1, false, Some(2)), (9, false, Some(6)), (5, true, None), (0, true, Some(2))]
        {
            assert_eq!(kept(&autoscaled, replicas, is_autoscaled), expected, "{replicas} {is_autoscaled}");
        }
        assert_eq!(kept(&web(WebReplicas::Fixed(3)), 5, false), None);
    }
}

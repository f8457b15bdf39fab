//! What the pods of both sides have in common: Pod Security *restricted*, a place for temporary files, probes.

use crate::{labels::Side, validate::Pipeline};
use k8s_openapi::{
    DeepMerge as _,
    api::core::v1::{
        Capabilities, Container, ContainerPort, EmptyDirVolumeSource, HTTPGetAction, PodSecurityContext, PodSpec,
        PodTemplateSpec, Probe, ResourceRequirements, SeccompProfile, SecurityContext, Volume, VolumeMount,
    },
    apimachinery::pkg::{api::resource::Quantity, apis::meta::v1::ObjectMeta, util::intstr::IntOrString},
};
use std::collections::BTreeMap;

/// The user and group of all containers: `nonroot` of distroless images.
const NON_ROOT: i64 = 65532;

/// Name of the volume for temporary files.
const TMP: &str = "tmp";

/// A pod of `side` that runs `spec`, with what the user merges over it.
pub(super) fn template(
    pipeline: &Pipeline,
    side: Side,
    spec: PodSpec,
    over: Option<&PodTemplateSpec>,
) -> PodTemplateSpec {
    let mut template = PodTemplateSpec { metadata: None, spec: Some(spec) };
    if let Some(over) = over {
        template.merge_from(over.clone());
    }
    // After the merge: pods without these labels would belong to no Deployment, and the API server would refuse them.
    let metadata = template.metadata.get_or_insert_with(ObjectMeta::default);
    metadata.labels.get_or_insert_default().extend(side.labels(&pipeline.name));
    template
}

/// The parts of a pod that do not depend on its containers.
pub(super) fn spec(pipeline: &Pipeline, side: Side, grace_seconds: i64) -> PodSpec {
    PodSpec {
        service_account_name: Some(side.object_name(&pipeline.name)),
        automount_service_account_token: Some(false),
        // A Service called `warren` would otherwise put WARREN_PORT and more into the environment.
        enable_service_links: Some(false),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(NON_ROOT),
            run_as_group: Some(NON_ROOT),
            fs_group: Some(NON_ROOT),
            fs_group_change_policy: Some("OnRootMismatch".into()),
            seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".into(), ..SeccompProfile::default() }),
            ..PodSecurityContext::default()
        }),
        termination_grace_period_seconds: Some(grace_seconds),
        volumes: Some(vec![scratch(TMP)]),
        ..PodSpec::default()
    }
}

/// A container with nothing but its safety and its place for temporary files.
pub(super) fn container(name: &str, image: &str) -> Container {
    Container {
        name: name.to_owned(),
        image: Some(image.to_owned()),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            capabilities: Some(Capabilities { drop: Some(vec!["ALL".into()]), ..Capabilities::default() }),
            read_only_root_filesystem: Some(true),
            run_as_non_root: Some(true),
            ..SecurityContext::default()
        }),
        volume_mounts: Some(vec![mount(TMP, "/tmp")]),
        ..Container::default()
    }
}

/// An empty volume that lives as long as its pod.
pub(super) fn scratch(name: &str) -> Volume {
    Volume { name: name.to_owned(), empty_dir: Some(EmptyDirVolumeSource::default()), ..Volume::default() }
}

/// A volume's place in a container.
pub(super) fn mount(volume: &str, path: &str) -> VolumeMount {
    VolumeMount { name: volume.to_owned(), mount_path: path.to_owned(), ..VolumeMount::default() }
}

/// A named TCP port.
pub(super) fn port(name: &str, number: i32) -> ContainerPort {
    ContainerPort { name: Some(name.to_owned()), container_port: number, ..ContainerPort::default() }
}

/// Asks `path` on the port of this name; `failures` in a row, one each `period_seconds`, make the answer a no.
pub(super) fn probe(path: &str, port: &str, period_seconds: i32, failures: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String(port.to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period_seconds),
        timeout_seconds: Some(3),
        failure_threshold: Some(failures),
        ..Probe::default()
    }
}

/// What a container needs, and the memory beyond which it is ended (where its need is known).
pub(super) fn resources(cpu: &str, memory: &str, memory_limit: Option<&str>) -> ResourceRequirements {
    let quantities = |pairs: &[(&str, &str)]| -> BTreeMap<String, Quantity> {
        pairs.iter().map(|(name, amount)| ((*name).to_owned(), Quantity((*amount).to_owned()))).collect()
    };
    ResourceRequirements {
        requests: Some(quantities(&[("cpu", cpu), ("memory", memory)])),
        limits: memory_limit.map(|limit| quantities(&[("memory", limit)])),
        ..ResourceRequirements::default()
    }
}

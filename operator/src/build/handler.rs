//! How the user's code gets into the processor's pod.

use super::{Images, environment, pod};
use crate::{
    crd::handler::{ExecHandler, HttpHandler},
    validate::{HANDLER, Handler},
};
use k8s_openapi::{
    api::core::v1::{Container, PodSpec, Probe, TCPSocketAction, VolumeMount},
    apimachinery::pkg::util::intstr::IntOrString,
};

/// Name of the container that copies the processor into an exec handler's pod.
pub(crate) const INSTALL: &str = "install";
/// Volume and directory of the copied processor.
const PROGRAM_VOLUME: &str = "warren";
const PROGRAM_DIRECTORY: &str = "/warren/bin";
const PROGRAM: &str = "/warren/bin/warren-processor";
/// Where the processor's own image has it.
const PROGRAM_IN_IMAGE: &str = "/warren-processor";
/// How long an http handler may take to start: models are loaded in this time.
const STARTUP_SECONDS: i32 = 600;

/// Adds what `handler` needs to a pod whose only container is the processor.
pub(super) fn add(spec: &mut PodSpec, handler: &Handler, images: &Images) {
    match handler {
        Handler::Demo { .. } => {}
        Handler::Http(http) => spec.init_containers.get_or_insert_default().push(sidecar(http)),
        Handler::Exec(exec) => move_into_users_image(spec, exec, images),
    }
}

/// A native sidecar: it starts before the processor and ends after it, so no request finds it missing.
fn sidecar(http: &HttpHandler) -> Container {
    let some = |words: &Vec<String>| Some(words.clone()).filter(|words| !words.is_empty());
    Container {
        command: some(&http.command),
        args: some(&http.args),
        env: Some(environment::http_container(http)),
        ports: Some(vec![pod::port(HANDLER, http.port)]),
        restart_policy: Some("Always".into()),
        startup_probe: Some(Probe {
            tcp_socket: Some(TCPSocketAction { port: IntOrString::Int(http.port), host: None }),
            period_seconds: Some(1),
            failure_threshold: Some(STARTUP_SECONDS),
            ..Probe::default()
        }),
        resources: Some(users_resources()),
        ..pod::container(HANDLER, &http.image)
    }
}

/// The command needs its own image around it, so the processor (a static binary) moves there.
fn move_into_users_image(spec: &mut PodSpec, exec: &ExecHandler, images: &Images) {
    // What a command leaves behind becomes a child of process 1, which has to take note of its end: the sandbox's own
    // does, warren-processor would gather zombies until no process can be made any more.
    spec.share_process_namespace = Some(true);
    spec.volumes.get_or_insert_default().push(pod::scratch(PROGRAM_VOLUME));
    spec.init_containers.get_or_insert_default().push(install(images));
    for container in &mut spec.containers {
        container.image = Some(exec.image.clone());
        container.command = Some(vec![PROGRAM.into()]);
        container.resources = Some(users_resources());
        let program = VolumeMount { read_only: Some(true), ..pod::mount(PROGRAM_VOLUME, PROGRAM_DIRECTORY) };
        container.volume_mounts.get_or_insert_default().push(program);
    }
}

fn install(images: &Images) -> Container {
    let mut install = Container {
        command: Some([PROGRAM_IN_IMAGE, "install", PROGRAM].map(str::to_owned).into()),
        resources: Some(pod::resources("20m", "32Mi", Some("64Mi"))),
        ..pod::container(INSTALL, &images.processor)
    };
    install.volume_mounts.get_or_insert_default().push(pod::mount(PROGRAM_VOLUME, PROGRAM_DIRECTORY));
    install
}

/// Requests for scheduling, but no limit: nobody but the user knows what their code needs at most.
fn users_resources() -> k8s_openapi::api::core::v1::ResourceRequirements {
    pod::resources("100m", "128Mi", None)
}

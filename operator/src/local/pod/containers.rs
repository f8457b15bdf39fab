//! Which of a pod's containers run on this machine: Warren's program, and the http handler. What else a template has is
//! left to a cluster.

use crate::{build::handler::INSTALL, labels::Side, validate::HANDLER};
use k8s_openapi::api::core::v1::{Container, PodSpec};

/// The user's http handler: the init container of its name that goes on running.
pub(super) fn handler(spec: &PodSpec) -> Option<&Container> {
    let stays = |container: &&Container| container.restart_policy.as_deref() == Some("Always");
    spec.init_containers.iter().flatten().filter(stays).find(|container| container.name == HANDLER)
}

/// The names of those that do not run here.
pub(super) fn left_out(spec: &PodSpec, side: Side) -> Vec<String> {
    let known = [side.container(), HANDLER, INSTALL];
    let names = spec.init_containers.iter().flatten().chain(&spec.containers).map(|container| container.name.clone());
    names.filter(|name| !known.contains(&name.as_str())).collect()
}

/// What a container runs, if that is not Warren's program. Wherever an image is from, Warren's is known by its name.
pub(super) fn foreign_program(container: &Container, side: Side) -> Option<String> {
    let last = |path: &str| path.rsplit('/').next().map(str::to_owned).unwrap_or_default();
    let image = container.image.clone().unwrap_or_default();
    match container.command.iter().flatten().next() {
        Some(command) => (last(command) != side.program()).then(|| command.clone()),
        None => (last(&image).split([':', '@']).next() != Some(side.program())).then_some(image),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs_ours(image: &str, command: &[&str]) -> bool {
        let command = Some(command.iter().map(|word| (*word).to_owned()).collect());
        let container = Container { image: Some(image.to_owned()), command, ..Container::default() };
        foreign_program(&container, Side::Processor).is_none()
    }

    #[test]
    fn an_image_is_warrens_by_its_name_and_a_command_by_its_file() {
        assert!(runs_ours("ghcr.io/warren-dev/warren-processor:0.1.0", &[]));
        assert!(runs_ours("mirror.example:5000/warren-processor@sha256:ab", &[]));
        assert!(runs_ours("python:3", &["/warren/bin/warren-processor"]));
        assert!(!runs_ours("registry.example/uppercase:1", &[]));
        assert!(!runs_ours("ghcr.io/warren-dev/warren-web-service:0.1.0", &[]));
        assert!(!runs_ours("warren-processor", &["/uppercase"]));
    }
}

//! From a Deployment's pod to processes of this machine. Pure: what the kubelet would do with images, mounts and
//! Secrets becomes programs, directories and variables.

mod containers;
mod error;

pub use error::PodError;

use crate::{
    build::{
        environment::{HTTP_URL, LISTEN, PORT},
        expansion,
    },
    crd::broker::SecretKeyRef,
    labels::Side,
    manifest::Manifest,
};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Container, EnvVar, EnvVarSource, PodSpec},
};
use std::{
    collections::BTreeMap,
    ffi::OsString,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

/// What a pod is made from, apart from the Deployment itself.
pub struct Surroundings<'a> {
    /// The file, with its Secrets.
    pub manifest: &'a Manifest,
    /// The pipeline's namespace.
    pub namespace: Option<&'a str>,
    /// The broker's address, where the file has no Secret for it.
    pub broker: Option<&'a str>,
    /// Where Warren's own programs are.
    pub programs: &'a Path,
    /// In which directory the user's programs run.
    pub directory: &'a Path,
    /// Where a volume claim is.
    pub volume: &'a dyn Fn(&str) -> PathBuf,
    /// Where the pipeline's http handler already answers.
    pub handler_url: Option<&'a str>,
}

/// One replica of a Deployment, as processes.
#[derive(Clone, PartialEq)]
pub struct PodPlan {
    /// Which side of the pipeline it is.
    pub side: Side,
    /// Warren's program.
    pub main: ProgramPlan,
    /// The user's http handler, which the program needs first.
    pub sidecar: Option<ProgramPlan>,
    /// Containers of a template that do not run here.
    pub left_out: Vec<String>,
    /// How long it may take to end.
    pub grace: Duration,
}

/// A program, before it is known on which port it will listen.
#[derive(Clone, PartialEq)]
pub struct ProgramPlan {
    words: Vec<Text>,
    variables: Vec<(String, Text)>,
    /// Where it runs.
    pub directory: PathBuf,
}

#[derive(Clone, PartialEq)]
enum Text {
    /// With `$(NAME)` to be expanded.
    Template(String),
    /// As it is: a Secret.
    Literal(String),
    /// The replica's name.
    ReplicaName,
}

/// A program that can be started.
pub struct Program {
    /// Program and arguments.
    pub words: Vec<String>,
    /// Its variables; never printed, since they hold Secrets.
    pub variables: BTreeMap<OsString, OsString>,
    /// Where it runs.
    pub directory: PathBuf,
}

impl PodPlan {
    /// The processes of a Deployment's pods.
    ///
    /// # Errors
    /// See [`PodError`].
    pub fn new(
        deployment: &Deployment,
        side: Side,
        pipeline: &str,
        around: &Surroundings<'_>,
    ) -> Result<Self, PodError> {
        let spec = deployment.spec.template.spec.clone().unwrap_or_default();
        let container = spec.containers.iter().find(|container| container.name == side.container());
        let container = container.cloned().unwrap_or_default();
        if let Some(program) = containers::foreign_program(&container, side) {
            return Err(PodError::ForeignProgram { program, side });
        }
        let mut main = ProgramPlan::of(&spec, &container, around)?;
        main.words = vec![Text::Literal(around.programs.join(side.program()).to_string_lossy().into_owned())];
        let sidecar = match around.handler_url {
            Some(url) => {
                main.set(HTTP_URL, Text::Literal(url.to_owned()));
                None
            }
            None => sidecar(&spec, pipeline, around)?,
        };
        let left_out = containers::left_out(&spec, side);
        let seconds = spec.termination_grace_period_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        Ok(Self { side, main, sidecar, left_out, grace: Duration::from_secs(seconds.unwrap_or(30)) })
    }
}

fn sidecar(spec: &PodSpec, pipeline: &str, around: &Surroundings<'_>) -> Result<Option<ProgramPlan>, PodError> {
    let Some(container) = containers::handler(spec) else { return Ok(None) };
    if container.command.as_ref().is_none_or(Vec::is_empty) {
        let image = container.image.clone().unwrap_or_default();
        return Err(PodError::ImageAlone { image, pipeline: pipeline.to_owned() });
    }
    ProgramPlan::of(spec, container, around).map(Some)
}

impl ProgramPlan {
    fn of(spec: &PodSpec, container: &Container, around: &Surroundings<'_>) -> Result<Self, PodError> {
        let words = container.command.iter().flatten().chain(container.args.iter().flatten());
        let mounts = mounts(spec, container, around.volume);
        let variables = container.env.iter().flatten().map(|variable| {
            let text = match text(variable, around)? {
                Text::Template(text) => Text::Template(moved(&text, &mounts)),
                text => text,
            };
            Ok((variable.name.clone(), text))
        });
        Ok(Self {
            words: words.cloned().map(Text::Template).collect(),
            variables: variables.collect::<Result<_, PodError>>()?,
            directory: around.directory.to_owned(),
        })
    }

    /// Where it listens is decided here, not in the pod: replicas share the machine's ports.
    #[must_use]
    pub fn listening(&self, address: SocketAddr) -> Self {
        let mut plan = self.clone();
        plan.set(LISTEN, Text::Literal(address.to_string()));
        plan.set(PORT, Text::Literal(address.port().to_string()));
        plan
    }

    /// The same program with its http handler at another port of this machine.
    #[must_use]
    pub fn with_handler_at(&self, address: SocketAddr) -> Self {
        let mut plan = self.clone();
        let path = self.variables.iter().find(|(name, _)| name == HTTP_URL).and_then(|(_, text)| match text {
            Text::Template(url) | Text::Literal(url) => url.split_once("://")?.1.split_once('/'),
            Text::ReplicaName => None,
        });
        let path = path.map_or("", |(_, path)| path).to_owned();
        plan.set(HTTP_URL, Text::Literal(format!("http://{address}/{path}")));
        plan
    }

    fn set(&mut self, name: &str, text: Text) {
        self.variables.retain(|(candidate, _)| candidate != name);
        // First, so that the variables after it can refer to it.
        self.variables.insert(0, (name.to_owned(), text));
    }

    /// The program as replica `name` runs it.
    #[must_use]
    pub fn resolve(&self, name: &str) -> Program {
        let mut known: BTreeMap<String, String> = BTreeMap::new();
        for (variable, text) in &self.variables {
            let value = value(text, name, &known);
            known.insert(variable.clone(), value);
        }
        Program {
            words: self.words.iter().map(|word| value(word, name, &known)).collect(),
            variables: known.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
            directory: self.directory.clone(),
        }
    }
}

fn value(text: &Text, replica: &str, known: &BTreeMap<String, String>) -> String {
    match text {
        Text::Template(template) => expansion::expand(template, |name| known.get(name).cloned()),
        Text::Literal(text) => text.clone(),
        Text::ReplicaName => replica.to_owned(),
    }
}

fn text(variable: &EnvVar, around: &Surroundings<'_>) -> Result<Text, PodError> {
    let name = &variable.name;
    match (&variable.value, &variable.value_from) {
        (Some(text), _) => Ok(Text::Template(text.clone())),
        (None, None) => Ok(Text::Literal(String::new())),
        (None, Some(EnvVarSource { secret_key_ref: Some(reference), .. })) => {
            let wanted = SecretKeyRef { name: reference.name.clone(), key: reference.key.clone() };
            let value = around.manifest.secret_value(around.namespace, &wanted).or_else(|| fallback(name, around));
            value.map(Text::Literal).ok_or_else(|| PodError::SecretMissing {
                secret: reference.name.clone(),
                key: reference.key.clone(),
                variable: name.clone(),
            })
        }
        (None, Some(EnvVarSource { field_ref: Some(field), .. })) if field.field_path == "metadata.name" => {
            Ok(Text::ReplicaName)
        }
        (None, Some(_)) => {
            let value = std::env::var(name).ok();
            value.map(Text::Literal).ok_or_else(|| PodError::SourceMissing { variable: name.clone() })
        }
    }
}

fn fallback(variable: &str, around: &Surroundings<'_>) -> Option<String> {
    if variable == warren_messaging::settings::AMQP_URL {
        return around.broker.map(str::to_owned);
    }
    std::env::var(variable).ok()
}

/// Mount path → directory, for every volume claim that the container mounts.
fn mounts(spec: &PodSpec, container: &Container, volume: &dyn Fn(&str) -> PathBuf) -> Vec<(String, PathBuf)> {
    let claim = |name: &str| {
        let volume = spec.volumes.iter().flatten().find(|volume| volume.name == name)?;
        Some(volume.persistent_volume_claim.as_ref()?.claim_name.clone())
    };
    let mounts = container.volume_mounts.iter().flatten();
    mounts.filter_map(|mount| Some((mount.mount_path.clone(), volume(&claim(&mount.name)?)))).collect()
}

/// A path below a mount, where the mount's directory is here.
fn moved(text: &str, mounts: &[(String, PathBuf)]) -> String {
    let below = |(mount, directory): &(String, PathBuf)| {
        let rest = text.strip_prefix(mount.as_str())?.strip_prefix('/')?;
        Some(expansion::escape(&directory.join(rest).to_string_lossy()))
    };
    mounts.iter().find_map(below).unwrap_or_else(|| text.to_owned())
}

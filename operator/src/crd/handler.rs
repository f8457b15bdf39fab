//! `spec.processor.handler`: what does the work.

use super::broker::SecretKeyRef;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use warren_messaging::duration::PATTERN;

/// What does the work: exactly one of the three.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Handler {
    /// Your container answers a POST for each request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpHandler>,

    /// A command in your image is run for each request: JSON on its input, JSON on its output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exec: Option<ExecHandler>,

    /// A stand-in that waits and appends "-processed", to try a pipeline with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub demo: Option<DemoHandler>,
}

/// A container that answers a POST for each request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpHandler {
    /// Your image. It runs as user 65532 with a read-only root file system; template can loosen that.
    #[schemars(length(min = 1, max = 1024))]
    pub image: String,

    /// The port that your container listens on, also given to it as the environment variable PORT; any but 8081.
    #[schemars(range(min = 1, max = 65_535))]
    #[x_kube(
        validation = Rule::new("self != 8081")
            .message("port 8081 of the pod is the processor's own: let your container listen on another one, such as 8000")
    )]
    pub port: i32,

    /// The path of the POST. Default: /.
    #[serde(default = "default_path")]
    #[schemars(length(max = 1024), regex(pattern = r"^/\S*$"))]
    pub path: String,

    /// The command to run instead of the image's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub command: Vec<String>,

    /// The arguments to give instead of the image's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub args: Vec<String>,

    /// Environment variables of your container.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(
        merge_strategy = ListMerge::Map(vec!["name".into()]),
        validation = Rule::new("self.all(variable, variable.name != 'PORT')")
            .message("Warren sets PORT to handler.http.port: remove it from env")
    )]
    pub env: Vec<EnvironmentVariable>,
}

fn default_path() -> String {
    "/".into()
}

/// A command that is run for each request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExecHandler {
    /// Your image. It runs as user 65532 with a read-only root file system; template can loosen that.
    #[schemars(length(min = 1, max = 1024))]
    pub image: String,

    /// The command and its arguments, such as ["python3", "resize.py"].
    #[schemars(length(min = 1, max = 256))]
    pub command: Vec<String>,

    /// PerMessage starts the command for each request; Stream keeps one running, for costly start-up, and exchanges one
    /// JSON line per request. Default: PerMessage.
    #[serde(default)]
    pub mode: ExecMode,

    /// Environment variables of the command.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(
        merge_strategy = ListMerge::Map(vec!["name".into()]),
        validation = Rule::new("self.all(variable, !variable.name.startsWith('WARREN_') && !(variable.name in ['AMQP_URL', 'AMQP_CA_PEM', 'CLOUDAMQP_URL']))")
            .message("AMQP_URL, AMQP_CA_PEM, CLOUDAMQP_URL and names that start with WARREN_ belong to the processor, which shares your command's container: choose other names in env")
    )]
    pub env: Vec<EnvironmentVariable>,
}

/// How an exec handler's command is fed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ExecMode {
    /// The command is started for each request.
    #[default]
    PerMessage,
    /// One command keeps running and exchanges lines.
    Stream,
}

/// A stand-in that waits and appends "-processed".
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DemoHandler {
    /// How long each request takes, such as 500ms or 5s. Default: 5s.
    #[schemars(length(max = 32), regex(pattern = PATTERN))]
    pub delay: String,
}

impl Default for DemoHandler {
    fn default() -> Self {
        Self { delay: "5s".into() }
    }
}

/// An environment variable with a value of its own or one from elsewhere.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!(has(self.value) && has(self.valueFrom))")
        .message("an environment variable has either value or valueFrom: remove one of them")
)]
pub struct EnvironmentVariable {
    /// The variable's name.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[-._a-zA-Z][-._a-zA-Z0-9]*$"))]
    pub name: String,

    /// The variable's value. Default: empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,

    /// Takes the value from a secret or a config map: exactly one of the two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(
        validation = Rule::new("has(self.secretKeyRef) != has(self.configMapKeyRef)")
            .message("choose exactly one source: valueFrom.secretKeyRef or valueFrom.configMapKeyRef")
    )]
    pub value_from: Option<ValueSource>,
}

/// Where an environment variable's value comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ValueSource {
    /// One value of a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<SecretKeyRef>,

    /// One value of a config map.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_key_ref: Option<ConfigMapKeyRef>,
}

/// One value of a config map in the pipeline's namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapKeyRef {
    /// The config map's name.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: String,

    /// The key of the value within the config map.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    pub key: String,
}

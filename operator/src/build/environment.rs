//! What the workers are told through their environment. Names that both workers read are defined where they read them,
//! in [`warren_messaging::settings`].

use super::expansion;
use crate::{
    crd::{
        broker::SecretKeyRef,
        handler::{EnvironmentVariable, ExecHandler, ExecMode, HttpHandler},
    },
    validate::{Handler, Pipeline, Processor, Store, Web},
};
use k8s_openapi::api::core::v1::{ConfigMapKeySelector, EnvVar, EnvVarSource, ObjectFieldSelector, SecretKeySelector};
use warren_messaging::{duration, settings};

/// Address on which a worker listens: requests on the web side, health and metrics on the processor's.
pub const LISTEN: &str = "WARREN_LISTEN";
/// File of the sqlite store.
pub const SQLITE_PATH: &str = "WARREN_SQLITE_PATH";
/// Address of the PostgreSQL store.
pub const POSTGRES_URL: &str = "WARREN_POSTGRES_URL";
/// How long finished requests are kept.
pub const RETENTION: &str = "WARREN_RETENTION";
/// How long failed requests and their dead letters are kept.
pub const DEAD_LETTER_RETENTION: &str = "WARREN_DEAD_LETTER_RETENTION";
/// Longest accepted request body.
pub const MAX_BODY_BYTES: &str = "WARREN_MAX_BODY_BYTES";
/// How many requests one processor works on at a time.
pub const CONCURRENCY: &str = "WARREN_CONCURRENCY";
/// How long one attempt may take.
pub const TIMEOUT: &str = "WARREN_TIMEOUT";
/// Which handler does the work: `http`, `exec` or `demo`.
pub const HANDLER: &str = "WARREN_HANDLER";
/// How long the demo handler takes.
pub const DEMO_DELAY: &str = "WARREN_DEMO_DELAY";
/// The exec handler's command, as a JSON array.
pub const EXEC_COMMAND: &str = "WARREN_EXEC_COMMAND";
/// How the exec handler's command is fed: `per-message` or `stream`.
pub const EXEC_MODE: &str = "WARREN_EXEC_MODE";
/// Where the http handler's container answers.
pub const HTTP_URL: &str = "WARREN_HTTP_URL";
/// The port that an http handler's container must listen on.
pub const PORT: &str = "PORT";

/// Where the sqlite store's volume is mounted.
pub(super) const STORE_DIRECTORY: &str = "/var/lib/warren";

/// The web side's environment.
pub(super) fn web(pipeline: &Pipeline, web: &Web, port: i32) -> Vec<EnvVar> {
    let store = match &web.store {
        Store::Sqlite { .. } => plain(SQLITE_PATH, format!("{STORE_DIRECTORY}/requests.db")),
        Store::Postgres(secret) => from_secret(POSTGRES_URL, secret),
    };
    let mut variables = both(pipeline);
    variables.extend([
        plain(LISTEN, format!("0.0.0.0:{port}")),
        store,
        plain(RETENTION, duration::format(web.retention)),
        plain(DEAD_LETTER_RETENTION, duration::format(web.dead_letter_retention)),
        plain(MAX_BODY_BYTES, web.max_body_bytes),
    ]);
    variables
}

/// The processor's environment. Last come the user's variables for an exec handler: its command is started by the
/// processor and inherits them.
pub(super) fn processor(pipeline: &Pipeline, processor: &Processor, port: i32) -> Vec<EnvVar> {
    let (mut variables, retry) = (both(pipeline), &pipeline.topology.retry);
    variables.extend([
        plain(LISTEN, format!("0.0.0.0:{port}")),
        plain(CONCURRENCY, processor.concurrency),
        plain(TIMEOUT, duration::format(processor.timeout)),
        plain(settings::MAX_ATTEMPTS, retry.max_attempts),
        plain(settings::INITIAL_DELAY, duration::format(retry.initial_delay)),
        plain(settings::FACTOR, retry.factor),
        plain(settings::MAX_DELAY, duration::format(retry.max_delay)),
    ]);
    match &processor.handler {
        Handler::Demo { delay } => {
            variables.extend([plain(HANDLER, "demo"), plain(DEMO_DELAY, duration::format(*delay))])
        }
        Handler::Http(http) => variables.extend([plain(HANDLER, "http"), plain(HTTP_URL, http_url(http))]),
        Handler::Exec(exec) => variables.extend(exec_variables(exec)),
    }
    variables
}

/// The environment of an http handler's container.
pub(super) fn http_container(http: &HttpHandler) -> Vec<EnvVar> {
    let mut variables = vec![plain(PORT, http.port)];
    variables.extend(http.env.iter().map(from_user));
    variables
}

fn both(pipeline: &Pipeline) -> Vec<EnvVar> {
    let topology = &pipeline.topology;
    let mut variables = vec![from_secret(settings::AMQP_URL, &pipeline.broker)];
    variables.extend(pipeline.broker_ca.as_ref().map(|ca| from_secret(settings::AMQP_CA_PEM, ca)));
    variables.extend([
        plain(settings::EXCHANGE, &topology.exchange),
        plain(settings::QUEUE_TYPE, topology.queue_type),
        from_field(settings::WORKER_NAME, "metadata.name"),
    ]);
    variables
}

fn exec_variables(exec: &ExecHandler) -> Vec<EnvVar> {
    let mode = match exec.mode {
        ExecMode::PerMessage => "per-message",
        ExecMode::Stream => "stream",
    };
    let command = serde_json::Value::from(exec.command.clone());
    let mut variables = vec![plain(HANDLER, "exec"), plain(EXEC_COMMAND, command), plain(EXEC_MODE, mode)];
    variables.extend(exec.env.iter().map(from_user));
    variables
}

fn http_url(http: &HttpHandler) -> String {
    format!("http://127.0.0.1:{}{}", http.port, http.path)
}

/// A variable whose value is meant literally.
fn plain(name: &str, value: impl ToString) -> EnvVar {
    EnvVar { name: name.to_owned(), value: Some(expansion::escape(&value.to_string())), ..EnvVar::default() }
}

/// A variable as the user wrote it, Kubernetes' `$(OTHER)` included.
fn from_user(variable: &EnvironmentVariable) -> EnvVar {
    let source = variable.value_from.as_ref().map(|source| EnvVarSource {
        secret_key_ref: source.secret_key_ref.as_ref().map(secret_key),
        config_map_key_ref: source.config_map_key_ref.as_ref().map(|reference| ConfigMapKeySelector {
            name: reference.name.clone(),
            key: reference.key.clone(),
            optional: None,
        }),
        ..EnvVarSource::default()
    });
    EnvVar { name: variable.name.clone(), value: variable.value.clone(), value_from: source }
}

fn from_secret(name: &str, secret: &SecretKeyRef) -> EnvVar {
    let source = EnvVarSource { secret_key_ref: Some(secret_key(secret)), ..EnvVarSource::default() };
    EnvVar { name: name.to_owned(), value_from: Some(source), ..EnvVar::default() }
}

fn from_field(name: &str, path: &str) -> EnvVar {
    let field = ObjectFieldSelector { field_path: path.to_owned(), ..ObjectFieldSelector::default() };
    let source = EnvVarSource { field_ref: Some(field), ..EnvVarSource::default() };
    EnvVar { name: name.to_owned(), value_from: Some(source), ..EnvVar::default() }
}

fn secret_key(secret: &SecretKeyRef) -> SecretKeySelector {
    SecretKeySelector { name: secret.name.clone(), key: secret.key.clone(), optional: None }
}

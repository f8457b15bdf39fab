//! `warren-operator local`: a pipeline file on this machine, without a cluster.
//!
//! The same resource, rules, topology and objects as on Kubernetes; only the last step differs: a Deployment runs
//! as [`side::Side`] of supervised processes, a Service as a TCP [`gateway`], a Secret comes from the same file or
//! the environment, and RabbitMQ is started too where nobody names one.

mod board;
mod broker;
mod fleet;
mod gateway;
mod keeper;
mod mark;
mod pipeline;
mod plan;
mod pod;
mod process;
mod processes;
mod replica;
mod screen;
mod side;
mod source;
mod vitals;
mod workspace;

use crate::local::{board::Board, broker::Broker, fleet::Fleet, screen::Screen, source::Source, workspace::Workspace};
use clap::Args;
use std::path::PathBuf;
use warren_messaging::{error_chain::Chain, logging::LogSettings, shutdown};

/// How to run pipelines on this machine.
#[derive(Args, Debug)]
pub struct LocalSettings {
    /// File with one or more ProcessingPipelines, and the Secrets they refer to; edits are picked up while it runs
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Port of the first pipeline's HTTP API; each further one gets the next free port
    #[arg(long, env = "WARREN_LOCAL_PORT", default_value_t = 8080, value_name = "PORT")]
    port: u16,

    /// Directory for records, and for RabbitMQ where none is named; kept from run to run
    #[arg(long, env = "WARREN_LOCAL_DIRECTORY", default_value = ".warren", value_name = "DIRECTORY")]
    directory: PathBuf,

    /// Where an http handler already answers, instead of running its command: PIPELINE=http://localhost:8000/
    #[arg(long = "handler-url", value_name = "PIPELINE=URL", value_parser = pair)]
    handler_urls: Vec<(String, String)>,
}

/// Why `local` cannot run, or cannot run a pipeline.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// The file has mistakes.
    #[error(transparent)]
    Source(#[from] source::SourceError),
    /// The directory cannot be used.
    #[error(transparent)]
    Workspace(#[from] workspace::WorkspaceError),
    /// There is no RabbitMQ.
    #[error(transparent)]
    Broker(#[from] broker::BrokerError),
    /// A pipeline cannot run here.
    #[error("pipeline `{pipeline}` cannot run here")]
    Pod {
        /// Its name.
        pipeline: String,
        /// Why.
        source: pod::PodError,
    },
    /// The certificates of a pipeline's broker cannot be read.
    #[error("pipeline `{pipeline}`: the Secret `{secret}` (or AMQP_CA_PEM in the environment) holds no certificates")]
    Certificates {
        /// The pipeline.
        pipeline: String,
        /// The Secret.
        secret: String,
        /// What is wrong with them.
        source: warren_messaging::broker::CaBundleError,
    },
    /// A pipeline's broker address cannot be read.
    #[error("pipeline `{pipeline}`: the value of Secret `{secret}` is no broker address")]
    Url {
        /// Its name.
        pipeline: String,
        /// The Secret's name.
        secret: String,
        /// What is wrong with it.
        source: warren_messaging::broker_url::BrokerUrlError,
    },
    /// Two pipelines have the same name.
    #[error(
        "the pipelines `{pipeline}` of the namespaces `{first}` and `{second}` cannot run here together, for here are \
         no namespaces: rename one of them, or run each from a file and a --directory of its own"
    )]
    SharedName {
        /// Their name.
        pipeline: String,
        /// The namespace of one.
        first: String,
        /// That of the other.
        second: String,
    },
    /// Two pipelines want the same exchange.
    #[error(
        "pipelines `{first}` and `{second}` both use the exchange `{exchange}` and would take each other's messages: \
         give one of them another spec.topology.exchange"
    )]
    SharedExchange {
        /// One.
        first: String,
        /// The other.
        second: String,
        /// The exchange.
        exchange: String,
    },
    /// An edit that would need another exchange or queue type.
    #[error(
        "pipeline `{pipeline}`: spec.topology.exchange and queueType cannot change while messages may wait in the old \
         queues; give the pipeline another name, or change it back"
    )]
    Immutable {
        /// The pipeline's name.
        pipeline: String,
    },
    /// No port is free.
    #[error(transparent)]
    Gateway(#[from] gateway::GatewayError),
    /// Signals or logging could not be set up.
    #[error("cannot start")]
    Start(#[source] Box<dyn std::error::Error + Send + Sync>),
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (pipeline, url) =
        text.split_once('=').ok_or("write PIPELINE=URL, for example thumbnails=http://localhost:8000/")?;
    Ok((pipeline.to_owned(), url.to_owned()))
}

/// Runs the file's pipelines until Ctrl-C or SIGTERM, then ends everything it started, in order.
///
/// # Errors
/// See [`LocalError`]. Once everything runs, mistakes in later edits of the file are told and not fatal.
pub async fn run(settings: LocalSettings, log: &LogSettings) -> Result<(), LocalError> {
    let mut source = Source::new(settings.file.clone());
    let manifest = source.read()?;
    let board = Board::default();
    let screen = Screen::start(log, board.clone(), manifest.pipelines.len()).map_err(LocalError::Start)?;
    let wishes = shutdown::wishes().map_err(|error| LocalError::Start(error.into()))?;
    let ended = serve(settings, source, manifest, board, wishes).await;
    screen.end().await;
    ended
}

async fn serve(
    settings: LocalSettings,
    mut source: Source,
    manifest: crate::manifest::Manifest,
    board: Board,
    wishes: shutdown::Wishes,
) -> Result<(), LocalError> {
    // Replicas are on this machine, whatever proxy the environment names.
    let http = reqwest::Client::builder().no_proxy().build().map_err(|error| LocalError::Start(error.into()))?;
    let starting = async {
        let workspace = Workspace::open(&settings.directory).await?;
        let broker = Broker::find(&manifest, &workspace, &board).await?;
        Ok::<_, LocalError>((workspace, broker))
    };
    // A node that is still starting is killed when this is dropped.
    let Some(started) = wishes.drain.run_until_cancelled(starting).await else { return Ok(()) };
    let (workspace, broker) = started?;
    let mut fleet = Fleet::new(settings, workspace, broker, board, wishes.abort.clone(), http);
    if let Err(error) = fleet.apply(&manifest).await {
        fleet.stop().await;
        return Err(error);
    }
    fleet.greet();
    while let Some(edited) = wishes.drain.run_until_cancelled(source.changed()).await {
        let applied = match edited {
            Ok(manifest) => fleet.apply(&manifest).await,
            Err(error) => Err(error.into()),
        };
        if let Err(error) = applied {
            tracing::error!("the edited file is not used: {}", Chain(&error));
        }
    }
    fleet.stop().await;
    Ok(())
}

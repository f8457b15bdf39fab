//! Which RabbitMQ the pipelines use: the one that their Secret names, else the one that the environment names, else
//! one of our own.

use super::{board::Board, workspace::Workspace};
use crate::{manifest::Manifest, validate::Pipeline};
use std::sync::Arc;
use tokio::{sync::Mutex, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use warren_messaging::{
    broker_url::{BrokerUrl, BrokerUrlError},
    settings::{AMQP_URL, CLOUDAMQP_URL},
};
use warren_rabbitmq_node::{Node, NodeError, Settings};

/// Why there is no RabbitMQ.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The environment's address cannot be read.
    #[error("the environment variable {variable} is no broker address")]
    Url {
        /// Which.
        variable: &'static str,
        /// What is wrong with it.
        source: BrokerUrlError,
    },
    /// Our own did not start.
    #[error(
        "no Secret in the file and neither {AMQP_URL} nor {CLOUDAMQP_URL} names a RabbitMQ, and one of our own did not start"
    )]
    Node(#[from] NodeError),
}

/// The RabbitMQ of pipelines whose Secret is not in the file.
pub enum Broker {
    /// Every pipeline brings its own address.
    NotNeeded,
    /// The one in the environment.
    Named(String),
    /// Our own.
    Own(OwnNode),
}

/// A node of ours that is started again when it dies.
pub struct OwnNode {
    url: String,
    node: Arc<Mutex<Node>>,
    keeping: JoinHandle<()>,
    stop: CancellationToken,
}

impl Broker {
    /// Finds or starts it.
    ///
    /// # Errors
    /// See [`BrokerError`].
    pub async fn find(manifest: &Manifest, workspace: &Workspace, board: &Board) -> Result<Self, BrokerError> {
        let named =
            |pipeline: &Pipeline| manifest.secret_value(pipeline.namespace.as_deref(), &pipeline.broker).is_some();
        if manifest.pipelines.iter().all(named) {
            return Ok(Self::NotNeeded);
        }
        if let Some(url) = from_environment()? {
            return Ok(Self::Named(url));
        }
        Ok(Self::Own(OwnNode::start(workspace, board).await?))
    }

    /// Its address, for pipelines that bring none.
    #[must_use]
    pub fn url(&self) -> Option<&str> {
        match self {
            Self::NotNeeded => None,
            Self::Named(url) => Some(url),
            Self::Own(own) => Some(&own.url),
        }
    }

    /// Ends it, if it is our own: in order, or at once when `abort` is cancelled.
    pub async fn stop(self, abort: &CancellationToken) {
        if let Self::Own(own) = self {
            // Dropped half-way it is killed, which loses nothing either.
            let _ = abort.run_until_cancelled(own.stop()).await;
        }
    }
}

fn from_environment() -> Result<Option<String>, BrokerError> {
    for variable in [AMQP_URL, CLOUDAMQP_URL] {
        if let Some(text) = std::env::var(variable).ok().filter(|text| !text.is_empty()) {
            text.parse::<BrokerUrl>().map_err(|source| BrokerError::Url { variable, source })?;
            return Ok(Some(text));
        }
    }
    Ok(None)
}

impl OwnNode {
    async fn start(workspace: &Workspace, board: &Board) -> Result<Self, NodeError> {
        tracing::info!("starting a RabbitMQ of our own; set {AMQP_URL} to use another");
        let node = Node::start(Settings::new(workspace.rabbitmq())).await?;
        let url = node.url();
        note(workspace, &node);
        tracing::info!(port = node.amqp_port(), "RabbitMQ runs");
        let (node, stop) = (Arc::new(Mutex::new(node)), CancellationToken::new());
        let keeping = tokio::spawn(keep(node.clone(), workspace.clone(), board.clone(), stop.clone()));
        Ok(Self { url, node, keeping, stop })
    }

    async fn stop(self) {
        self.stop.cancel();
        let _ = self.keeping.await;
        if let Err(error) = self.node.lock().await.stop().await {
            tracing::warn!(%error, "RabbitMQ did not stop in order; it recovers when it is started again");
        }
    }
}

fn note(workspace: &Workspace, node: &Node) {
    for pid in node.pids() {
        workspace.note(pid);
    }
}

/// Starts the node again whenever it ends without being asked to.
async fn keep(node: Arc<Mutex<Node>>, workspace: Workspace, board: Board, stop: CancellationToken) {
    let mut node = node.lock().await;
    while stop.run_until_cancelled(node.wait()).await.is_some() {
        tracing::warn!("RabbitMQ ended; starting it again, with all its queues");
        board.note_restart();
        match node.start_again().await {
            Ok(()) => note(&workspace, &node),
            Err(error) => {
                tracing::error!("{}", warren_messaging::error_chain::Chain(&error));
                let pause = tokio::time::sleep(std::time::Duration::from_secs(2));
                if stop.run_until_cancelled(pause).await.is_none() {
                    return;
                }
            }
        }
    }
}

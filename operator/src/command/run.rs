//! `warren-operator run`: the controller, as it runs in a cluster.

use super::render::ImageArguments;
use crate::controller::{self, Settings, lease::Election, metrics::Metrics, scope::Scope, server};
use clap::Args;
use kube::{Client, Config, client::ClientBuilder};
use std::{io, net::SocketAddr, sync::Arc};
use tokio_util::sync::CancellationToken;
use tower::util::MapRequestLayer;
use warren_messaging::shutdown;

/// How the controller runs.
#[derive(Args, Debug)]
pub struct RunArguments {
    /// Address for /healthz, /readyz and /metrics
    #[arg(long, env = "WARREN_LISTEN", default_value = "0.0.0.0:8080", value_name = "ADDRESS")]
    listen: SocketAddr,

    /// The only namespace to look after; all of them by default
    #[arg(long, env = "WARREN_WATCH_NAMESPACE", value_name = "NAMESPACE")]
    watch_namespace: Option<String>,

    /// How many pipelines are looked at at a time
    #[arg(long, env = "WARREN_CONCURRENCY", default_value_t = 32, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    concurrency: u16,

    #[command(flatten)]
    election: ElectionArguments,

    #[command(flatten)]
    images: ImageArguments,
}

/// Which replica works while others stand by.
#[derive(Args, Debug)]
#[command(next_help_heading = "Leader election")]
struct ElectionArguments {
    /// Whether to work only while holding a Lease; needed as soon as there is a second replica
    #[arg(long, env = "WARREN_LEADER_ELECTION", default_value_t = true, value_name = "BOOL", action = clap::ArgAction::Set)]
    leader_election: bool,

    /// Name of the Lease
    #[arg(long, env = "WARREN_LEASE_NAME", default_value = "warren-operator", value_name = "NAME")]
    lease_name: String,

    /// Namespace of the Lease; that of the kubeconfig or the service account by default
    #[arg(long, env = "WARREN_LEASE_NAMESPACE", value_name = "NAMESPACE")]
    lease_namespace: Option<String>,

    /// This replica's name; by default the host's name and the process id
    #[arg(long, env = "WARREN_IDENTITY", value_name = "NAME")]
    identity: Option<String>,
}

/// Why the controller does not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// No cluster is known.
    #[error("no cluster to work in: run inside of one, or point KUBECONFIG at its kubeconfig")]
    Kubeconfig(#[from] kube::config::InferConfigError),
    /// The client could not be made.
    #[error("cannot use the cluster's address or certificates")]
    Client(#[from] kube::Error),
    /// The address is taken.
    #[error("cannot listen on {address}: choose another with --listen")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Signals cannot be heard.
    #[error("cannot listen for signals")]
    Signals(#[source] io::Error),
    /// Another replica took over, or the API server was away for too long.
    #[error("lost the Lease, so this process ends before another replica starts to work")]
    LeaseLost,
}

/// Runs the controller until a signal asks it to end.
///
/// # Errors
/// It cannot start, or lost its Lease.
pub async fn run(arguments: RunArguments) -> Result<(), RunError> {
    let stop = shutdown::on_signal().map_err(RunError::Signals)?;
    let config = Config::infer().await?;
    let namespace = arguments.election.lease_namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
    let metrics = Arc::new(Metrics::default());
    let client = client(config, metrics.clone())?;
    let address = arguments.listen;
    let listener = server::bind(address).await.map_err(|source| RunError::Listen { address, source })?;
    let served = tokio::spawn(server::serve(listener, metrics.clone(), stop.clone()));
    tracing::info!(%address, namespace = arguments.watch_namespace.as_deref().unwrap_or("(all)"), "the operator runs");
    let outcome = lead(client, arguments, &namespace, metrics, &stop).await;
    stop.cancel();
    // It has nothing of its own to say: a listener that breaks is noticed by the probes.
    let _ = served.await;
    outcome
}

async fn lead(
    client: Client,
    arguments: RunArguments,
    namespace: &str,
    metrics: Arc<Metrics>,
    stop: &CancellationToken,
) -> Result<(), RunError> {
    let identity = arguments.election.identity.unwrap_or_else(own_name);
    let settings = Settings {
        scope: arguments.watch_namespace.map_or(Scope::Cluster, Scope::Namespace),
        images: arguments.images.into(),
        concurrency: arguments.concurrency,
        identity: identity.clone(),
    };
    let work = controller::run(client.clone(), settings, metrics.clone(), stop.clone());
    if !arguments.election.leader_election {
        metrics.leader.set(1);
        work.await;
        return Ok(());
    }
    let election = Election::new(client, namespace, &arguments.election.lease_name, &identity);
    if stop.run_until_cancelled(election.win()).await.is_none() {
        return Ok(());
    }
    metrics.leader.set(1);
    tokio::select! {
        () = work => {
            election.release().await;
            Ok(())
        }
        () = election.hold() => Err(RunError::LeaseLost),
    }
}

/// A client that counts its requests.
fn client(config: Config, metrics: Arc<Metrics>) -> Result<Client, kube::Error> {
    let count = MapRequestLayer::new(move |request: axum::http::Request<kube::client::Body>| {
        metrics.requested(request.method());
        request
    });
    Ok(ClientBuilder::try_from(config)?.with_layer(&count).build())
}

fn own_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_else(|_| "operator".into());
    format!("{}-{}", host.trim(), std::process::id())
}

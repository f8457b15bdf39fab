//! Starts the parts, and stops them in the order in which they need each other.

use crate::{
    api::{Limits, Service, Waiting, app},
    journal::{Journal, Looks},
    listen::{self, ListenSettings},
    metrics::Metrics,
    missing, replay,
    results::Results,
    retention,
    settings::Settings,
    store::{Store, StoreError},
    waiters::Waiters,
};
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{net::TcpListener, sync::Notify, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use warren_messaging::{
    link::Link,
    message::Report,
    publisher::{Contact, Publisher, PublisherSettings},
};

/// How long clients may take to get their answers once the process is asked to stop.
const DRAIN: Duration = Duration::from_secs(20);

/// How long each part may take to end after that.
const FINISH: Duration = Duration::from_secs(5);

/// Why the web side did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The port cannot be had.
    #[error(
        "cannot listen on {address}: end the program that has the port (`ss -ltnp` names it), or choose another with --listen"
    )]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Serves until `stop` is cancelled: then answers who is connected, records the results in hand, and closes the
/// store.
///
/// # Errors
/// See [`ServiceError`].
pub async fn run(settings: Settings, stop: CancellationToken) -> Result<(), ServiceError> {
    let listener = listen(settings.listen).await?;
    let (store, writing) = Store::open(settings.location()).await?;
    let publisher_stop = CancellationToken::new();
    let metrics = Arc::new(Metrics::default());
    let (publisher, publishing) = start_publisher(&settings, metrics.clone(), publisher_stop.clone());
    let waiters = Waiters::default();
    let listening = store.wake(waiters.clone(), stop.clone());
    let results =
        Link::new(settings.broker.broker(), name(&settings, "results"), Some(settings.broker.topology().plan()));
    let asked = Arc::new(Notify::new());
    let journal = Arc::new(journal(&settings));
    let runner = replay::Runner::new(store.clone(), publisher.clone(), journal.clone(), metrics.clone(), asked.clone());
    let replaying = tokio::spawn(runner.run(stop.clone()));
    let sweeping = tokio::spawn(replay::sweep(store.clone(), sweeper(&settings), stop.clone()));
    let searching = tokio::spawn(search(&settings, &store, &publisher, &metrics).run(stop.clone()));
    let service = Service {
        publisher,
        store: store.clone(),
        waiters: waiters.clone(),
        waiting: Waiting::new(settings.max_waiting),
        metrics: metrics.clone(),
        results: results.state(),
        stop: stop.clone(),
        replays: asked,
        journal,
        limits: Limits { max_body_bytes: settings.max_body_bytes, max_wait: settings.max_wait },
    };
    let queue = settings.broker.topology().results();
    let recording = tokio::spawn(results.keep(Results { queue, store: store.clone(), waiters, metrics }, stop.clone()));
    let forgetting = tokio::spawn(retention::enforce(store, settings.retention(), stop.clone()));
    tracing::info!(address = %settings.listen, "accepting requests at http://{}/api/v1/processData", settings.listen);
    serve(listener, service, settings.clients(), stop.clone()).await;
    stop.cancel();
    finish([replaying, sweeping, searching]).await;
    // Publishing ends late: until here somebody may have been waiting for a confirm.
    publisher_stop.cancel();
    finish([recording, forgetting, listening, publishing, writing]).await;
    Ok(())
}

async fn listen(address: SocketAddr) -> Result<TcpListener, ServiceError> {
    TcpListener::bind(address).await.map_err(|source| ServiceError::Listen { address, source })
}

fn name(settings: &Settings, part: &str) -> String {
    format!("warren-web-service {part} {}", settings.broker.worker_name())
}

/// Where the journal is, if the pipeline keeps one.
fn journal(settings: &Settings) -> Journal {
    let topology = settings.broker.topology();
    Journal {
        broker: settings.broker.broker(),
        connection: name(settings, "journal"),
        stream: topology.journal_stream(),
        exchange: topology.exchange,
        retention: settings.retention,
        looks: Looks::default(),
    }
}

/// How the dead-letter queue is got at, when there is something to take out of it.
fn sweeper(settings: &Settings) -> replay::DeadLetterQueue {
    replay::DeadLetterQueue {
        broker: settings.broker.broker(),
        connection: name(settings, "dead letters"),
        queue: settings.broker.topology().dead(),
    }
}

/// How requests are found that do not come back for their next attempt.
fn search(settings: &Settings, store: &Store, publisher: &Publisher, metrics: &Arc<Metrics>) -> missing::Search {
    let topology = settings.broker.topology();
    let queues = missing::Queues {
        broker: settings.broker.broker(),
        connection: name(settings, "missing requests"),
        names: [topology.requests(), topology.results()],
        queue_type: topology.queue_type,
    };
    let (store, publisher, metrics) = (store.clone(), publisher.clone(), metrics.clone());
    missing::Search { store, publisher, metrics, queues, times: missing::Times::default() }
}

fn start_publisher(settings: &Settings, metrics: Arc<Metrics>, stop: CancellationToken) -> (Publisher, JoinHandle<()>) {
    let publisher = PublisherSettings {
        broker: settings.broker.broker(),
        name: name(settings, "requests"),
        needs: settings.broker.topology().plan(),
        confirm_timeout: settings.confirm_timeout,
        // Nobody gives orders to this side.
        contact: Contact::default(),
    };
    let worker = settings.broker.worker_name();
    let report = move || Report::of_web(&worker, metrics.submitted.get());
    Publisher::start(publisher, report, stop)
}

/// Ends once every client has its answer, but not later than [`DRAIN`] after the wish to stop.
async fn serve(listener: TcpListener, service: Service, clients: ListenSettings, stop: CancellationToken) {
    let metrics = service.metrics.clone();
    let serving = listen::serve(listener, app(service), clients, metrics, stop.clone());
    let too_late = async {
        stop.cancelled().await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        () = serving => {}
        () = too_late => {
            tracing::warn!(drain_seconds = DRAIN.as_secs(), "some clients did not take their answers in time");
        }
    }
}

/// A client that was given up on may still hold the store open, which then recovers when it is opened again.
async fn finish<const N: usize>(tasks: [JoinHandle<()>; N]) {
    for task in tasks {
        match tokio::time::timeout(FINISH, task).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "a part of the web service ended by a panic"),
            Err(_) => tracing::warn!(seconds = FINISH.as_secs(), "a part of the web service did not end in time"),
        }
    }
}

//! Puts a worker together and runs it.

use crate::{
    Handler, WorkerSettings,
    consume::ConsumeSession,
    cordon::Cordon,
    decision::Rules,
    health::{self, Health, Intake},
    lease::Settled,
    publishing::Publishing,
    tally::Tally,
    worker::Worker,
};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use warren_messaging::{
    files,
    link::Link,
    message::{Report, Role},
    publisher::{Publisher, PublisherSettings},
    shutdown,
};

/// How long to wait for the broker to confirm an outcome before publishing it again, which doubles it: a broker in
/// alarm delivers later what was sent to it. So as long as the connection lives, which its heartbeat decides; this is
/// the broker's own patience with a delivery.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// The most files that a request in work takes: three pipes to a command, and one that tells of its end.
const FILES: usize = 4;

/// Why a worker did not begin.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The process may not install signal handlers.
    #[error("cannot listen for signals, so could never stop well")]
    Signals(#[source] std::io::Error),
    /// The address for health and metrics cannot be had.
    #[error("cannot serve health and metrics at {address}: free it, or choose another with --listen, or off")]
    Listen {
        /// What was asked for.
        address: SocketAddr,
        /// What the operating system said.
        source: std::io::Error,
    },
}

/// Runs a worker until SIGTERM or SIGINT, and drains it then. A broker that is away, or whose queues are not
/// declared yet, is waited for.
///
/// # Errors
/// See [`RunError`]; nothing that happens later ends it.
pub async fn run(settings: WorkerSettings, handler: impl Handler) -> Result<(), RunError> {
    let stop = shutdown::on_signal().map_err(RunError::Signals)?;
    allow_files(settings.concurrency);
    run_until(settings, handler, stop).await
}

/// Runs a worker until `stop` is cancelled, then drains it: what was not begun goes back to the queue, what runs
/// is finished, its outcome published and acknowledged.
///
/// # Errors
/// See [`RunError`].
pub async fn run_until(
    settings: WorkerSettings,
    handler: impl Handler,
    stop: CancellationToken,
) -> Result<(), RunError> {
    let listener = health::bind(settings.listen).await?;
    let tally = Arc::new(Tally::new(settings.concurrency));
    // The publisher has to outlive the drain.
    let publisher_stop = CancellationToken::new();
    let cordon = Arc::new(Cordon::new());
    let (publisher, publishing_ended) = start_publisher(&settings, &tally, &cordon, &stop, publisher_stop.clone());
    let (link, intake) = (consuming_link(&settings), Arc::new(Intake::new()));
    let health = Health { intake, link: link.state(), publisher, tally, stop: stop.clone() };
    let server = listener.map(|listener| tokio::spawn(health::serve(listener, health.clone())));
    consume(worker(&settings, handler, &health, cordon), settings.topology().requests(), link, &health).await;
    publisher_stop.cancel();
    // It cannot panic, and if it did nothing would be left to do.
    let _ = publishing_ended.await;
    if let Some(server) = server {
        server.abort();
    }
    tracing::info!(processed_total = health.tally.processed_total(), "stopped");
    Ok(())
}

/// Lets every request in work have the files that it needs.
fn allow_files(concurrency: u16) {
    let possible = files::allow(usize::from(concurrency) * FILES) / FILES;
    if possible < usize::from(concurrency) {
        tracing::warn!(
            concurrency,
            possible,
            "so many commands at once may not get their pipes, which costs attempts: `ulimit -n` allows no more files"
        );
    }
}

/// Consumes until the process wants to stop, and until the last outcome is published.
async fn consume<H: Handler>(worker: Worker<H>, queue: String, link: Link, health: &Health) {
    let (worker, intake) = (Arc::new(worker), health.intake.clone());
    link.keep(ConsumeSession { worker: worker.clone(), queue, intake }, health.stop.clone()).await;
    worker.tasks.close();
    worker.tasks.wait().await;
}

/// A connection of its own: a broker with an alarm reads nothing more from one that published, not even acks.
fn consuming_link(settings: &WorkerSettings) -> Link {
    let name = format!("{} consuming", settings.broker.worker_name());
    Link::new(settings.broker.broker(), name, Some(settings.topology().plan()))
}

fn start_publisher(
    settings: &WorkerSettings,
    tally: &Arc<Tally>,
    cordon: &Arc<Cordon>,
    drain: &CancellationToken,
    stop: CancellationToken,
) -> (Publisher, tokio::task::JoinHandle<()>) {
    let (worker, capacity) = (settings.broker.worker_name(), settings.concurrency.into());
    let publisher = PublisherSettings {
        broker: settings.broker.broker(),
        name: format!("{worker} publishing"),
        needs: settings.topology().plan(),
        confirm_timeout: CONFIRM_TIMEOUT,
        contact: cordon.contact(),
    };
    let (tally, cordon, drain) = (Arc::clone(tally), Arc::clone(cordon), drain.clone());
    let report = move || Report {
        worker: worker.clone(),
        role: Role::Processor,
        in_flight: tally.in_flight(),
        capacity,
        processed_total: tally.processed_total(),
        busy_seconds_total: tally.busy_seconds_total(),
        draining: drain.is_cancelled() || cordon.holds(),
        wake: false,
    };
    Publisher::start(publisher, report, stop)
}

fn worker<H>(settings: &WorkerSettings, handler: H, health: &Health, cordon: Arc<Cordon>) -> Worker<H> {
    let topology = settings.topology();
    Worker {
        handler,
        rules: Rules { retry: topology.retry, queue_type: topology.queue_type, timeout: settings.timeout },
        publishing: Publishing { publisher: health.publisher.clone(), stop: health.stop.clone() },
        tally: health.tally.clone(),
        cordon,
        slots: Arc::new(Semaphore::new(settings.concurrency.into())),
        capacity: settings.concurrency,
        settled: Settled::default(),
        tasks: TaskTracker::new(),
    }
}

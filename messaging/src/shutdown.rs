//! Stopping well: the first signal asks for a drain, the second ends the process at once.

use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// What a person, or the kubelet, asks of the process.
#[derive(Clone, Debug)]
pub struct Wishes {
    /// Cancelled at the first SIGTERM, SIGINT or SIGHUP (a closed terminal): finish what runs, then end.
    pub drain: CancellationToken,
    /// Cancelled at the second: end now. Whoever sends it has waited long enough.
    pub abort: CancellationToken,
}

/// Listens for signals from now on.
///
/// # Errors
/// The process may not install signal handlers.
pub fn wishes() -> io::Result<Wishes> {
    let kinds = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()];
    let mut signals = kinds.into_iter().map(signal).collect::<io::Result<Vec<_>>>()?;
    let wishes = Wishes { drain: CancellationToken::new(), abort: CancellationToken::new() };
    let heard = wishes.clone();
    tokio::spawn(async move {
        any(&mut signals).await;
        heard.drain.cancel();
        any(&mut signals).await;
        heard.abort.cancel();
    });
    Ok(wishes)
}

/// A token for a process that has nothing to clean up when it is aborted: the second signal ends it with status
/// 130.
///
/// # Errors
/// The process may not install signal handlers.
pub fn on_signal() -> io::Result<CancellationToken> {
    let wishes = wishes()?;
    let drain = wishes.drain.clone();
    tokio::spawn(async move {
        wishes.drain.cancelled().await;
        tracing::info!("stopping: finishing what runs; a second signal ends the process at once");
        wishes.abort.cancelled().await;
        tracing::warn!("ended by a second signal, without draining");
        std::process::exit(130);
    });
    Ok(drain)
}

async fn any(signals: &mut [Signal]) {
    futures::future::select_all(signals.iter_mut().map(|signal| Box::pin(signal.recv()))).await;
}

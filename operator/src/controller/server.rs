//! `/healthz`, `/readyz` and `/metrics` of the operator, on leader and standby alike.

use super::metrics::Metrics;
use axum::{Router, http::header, routing::get};
use std::{io, net::SocketAddr, sync::Arc};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Binds the address, so that a taken port is an error at the start and not a silence later.
///
/// # Errors
/// The address is taken or not ours.
pub async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Serves until `stop` is cancelled.
///
/// A standby is ready: it can take over at any moment. What makes a replica unready or dead ends its process instead
/// (a lost Lease, a panic), and a broken API server is none of its faults.
///
/// # Errors
/// The listener broke.
pub async fn serve(listener: TcpListener, metrics: Arc<Metrics>, stop: CancellationToken) -> io::Result<()> {
    let text = [(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")];
    let router = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(|| async { "ok\n" }))
        .route("/metrics", get(move || async move { (text, metrics.encode()) }));
    axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await
}

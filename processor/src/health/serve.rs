//! `/healthz`, `/readyz` and `/metrics`.

use super::Health;
use crate::{Listen, RunError};
use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use tokio::net::TcpListener;

/// The media type of Prometheus' text format, as the encoder writes it.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Takes the port, so that a taken one is told before any work begins.
pub(crate) async fn bind(listen: Listen) -> Result<Option<TcpListener>, RunError> {
    let Listen::At(address) = listen else { return Ok(None) };
    let listener = TcpListener::bind(address).await.map_err(|source| RunError::Listen { address, source })?;
    if let Ok(address) = listener.local_addr() {
        tracing::info!(%address, "serves /healthz, /readyz and /metrics");
    }
    Ok(Some(listener))
}

/// Serves until it is dropped.
pub(crate) async fn serve(listener: TcpListener, health: Health) {
    let routes = Router::new()
        .route("/healthz", get(async |State(health): State<Health>| verdict(health.alive(), "alive")))
        .route("/readyz", get(async |State(health): State<Health>| verdict(health.ready(), "ready")))
        .route("/metrics", get(metrics))
        .with_state(health);
    // axum's server never ends by itself.
    let _ = axum::serve(listener, routes).await;
}

fn verdict(verdict: Result<(), String>, word: &'static str) -> (StatusCode, String) {
    match verdict {
        Ok(()) => (StatusCode::OK, format!("{word}\n")),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}

async fn metrics(State(health): State<Health>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, OPEN_METRICS)], health.tally.exposition())
}

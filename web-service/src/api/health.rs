//! `/healthz` and `/readyz`.

use super::Service;
use axum::{Json, extract::State, http::StatusCode};
use serde::Serialize;
use warren_messaging::link::LinkState;

/// Whether each part does its job, in words where it does not.
#[derive(Serialize)]
pub(super) struct Readiness {
    publishing: String,
    results: String,
    store: String,
}

/// The process answers. It is not restarted because the broker or the disk is away: that would not help.
pub(super) async fn alive() -> &'static str {
    "ok\n"
}

/// Whether requests are accepted. Results that do not flow are told, but do not turn clients away: they wait in
/// the queue.
pub(super) async fn ready(State(service): State<Service>) -> (StatusCode, Json<Readiness>) {
    let publishing = service.publisher.state();
    let failure = service.store.health().failure();
    let ready = publishing == LinkState::Ready && failure.is_none();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let readiness = Readiness {
        publishing: publishing.to_string(),
        results: service.results.borrow().to_string(),
        store: failure.unwrap_or_else(|| "ready".into()),
    };
    (status, Json(readiness))
}

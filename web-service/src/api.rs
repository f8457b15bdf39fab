//! The HTTP API: one file per thing that a client does.

mod dead_letters;
mod health;
mod journal;
mod list;
mod lookup;
mod problem;
#[cfg(test)]
mod properties;
mod replays;
mod submit;
mod wait;

use crate::{journal::Journal, metrics::Metrics, store::Store, waiters::Waiters};
use axum::{
    Router,
    extract::{DefaultBodyLimit, State},
    http::{Method, Uri},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
pub use problem::Problem;
use std::{sync::Arc, time::Duration};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
pub use wait::Waiting;
use warren_messaging::{link::LinkState, publisher::Publisher};

/// Everything that the handlers need. Cheap to clone.
#[derive(Clone)]
pub struct Service {
    /// Puts requests on the queue.
    pub publisher: Publisher,
    /// Keeps records.
    pub store: Store,
    /// Who waits for a request to end.
    pub waiters: Waiters,
    /// How many more may.
    pub waiting: Waiting,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// What the connection that brings results is doing.
    pub results: watch::Receiver<LinkState>,
    /// Cancelled when the process stops: long polls then answer at once.
    pub stop: CancellationToken,
    /// Told when a replay is asked for.
    pub replays: Arc<Notify>,
    /// Where the journal is, if there is one.
    pub journal: Arc<Journal>,
    /// Limits.
    pub limits: Limits,
}

/// What the API grants a client.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The largest body of a submit, in bytes.
    pub max_body_bytes: usize,
    /// The longest a client may wait for a result in one call.
    pub max_wait: Duration,
}

/// The API over a service.
pub fn app(service: Service) -> Router {
    Router::new()
        .route("/api/v1/processData", post(submit::submit))
        .route("/api/v1/requests", get(list::list))
        .route("/api/v1/requests/{id}", get(lookup::lookup))
        .route("/api/v1/dead-letters", get(dead_letters::list))
        .route("/api/v1/dead-letters/replay", post(replays::create))
        .route("/api/v1/journal/replay", post(journal::replay))
        .route("/api/v1/replays", get(replays::list))
        .route("/api/v1/replays/{id}", get(replays::find).delete(replays::cancel))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(metrics))
        .fallback(unknown_route)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(service.limits.max_body_bytes))
        .layer(CatchPanicLayer::custom(|_: Box<dyn std::any::Any + Send>| Problem::Internal.into_response()))
        .with_state(service)
}

async fn metrics(State(Service { metrics, waiting, .. }): State<Service>) -> Response {
    metrics.long_polls.set(i64::try_from(waiting.len()).unwrap_or(i64::MAX));
    let content_type = [("content-type", "application/openmetrics-text; version=1.0.0; charset=utf-8")];
    (content_type, metrics.encode()).into_response()
}

async fn unknown_route(uri: Uri) -> Problem {
    Problem::NoSuchRoute { path: uri.path().to_owned() }
}

async fn wrong_method(method: Method, uri: Uri) -> Problem {
    let allowed = match uri.path() {
        "/api/v1/processData" | "/api/v1/dead-letters/replay" | "/api/v1/journal/replay" => "POST",
        path if path.starts_with("/api/v1/replays/") => "GET, HEAD, DELETE",
        _ => "GET, HEAD",
    };
    Problem::MethodNotAllowed { method, allowed }
}

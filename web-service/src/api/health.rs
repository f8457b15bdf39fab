//! `/healthz` and `/readyz`.

use super::{Problem, Service};
use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
    http::StatusCode,
};
use serde::{Deserialize, Serialize};
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

/// What is asked of `/readyz`.
#[derive(Deserialize)]
pub(super) struct Question {
    /// A part of which the answer's status shall not depend, as at Kubernetes' API server.
    #[serde(default)]
    exclude: Option<Part>,
}

#[derive(Clone, Copy, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Part {
    /// For whoever sends clients here: a broker that is away is no reason to send them nowhere, since a 503 with the pause
    /// after which to come back tells them more than a refused connection, and results can be read all the time.
    Publishing,
}

/// Whether requests are accepted. Results that do not flow are told, but do not turn clients away: they wait in
/// the queue.
pub(super) async fn ready(
    State(service): State<Service>,
    query: Result<Query<Question>, QueryRejection>,
) -> Result<(StatusCode, Json<Readiness>), Problem> {
    let Query(question) = query.map_err(|rejection| Problem::InvalidQuery(rejection.body_text()))?;
    let publishing = service.publisher.state();
    let failure = service.store.health().failure();
    let publishes = publishing == LinkState::Ready || question.exclude == Some(Part::Publishing);
    let ready = publishes && failure.is_none();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let readiness = Readiness {
        publishing: publishing.to_string(),
        results: service.results.borrow().to_string(),
        store: failure.unwrap_or_else(|| "ready".into()),
    };
    Ok((status, Json(readiness)))
}

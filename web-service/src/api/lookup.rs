//! `GET /api/v1/requests/{id}`: what became of a request, now or as soon as it ends.

use super::{Problem, Service, wait};
use crate::{
    record::{Record, Status},
    store::StoreError,
};
use axum::{
    Json,
    extract::{
        Path, Query, State,
        rejection::{PathRejection, QueryRejection},
    },
    http::{HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use serde::Deserialize;
use std::time::Duration;
use warren_messaging::request_id::RequestId;

/// After how many seconds it is worth asking again, and where there was no place to wait.
const ASK_AGAIN: i64 = 1;
const ASK_LATER: i64 = 5;
/// After how long who waits looks again at a store that failed, and how long the last look may take.
const AGAIN: Duration = Duration::from_secs(1);

/// What the store told.
type Found = Result<Option<Record>, StoreError>;

/// What was found, and after how many seconds to ask again.
struct Seen {
    record: Record,
    ask_again: i64,
}

/// The query of a look-up.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    wait: Option<String>,
}

pub(super) async fn lookup(
    State(service): State<Service>,
    path: Result<Path<String>, PathRejection>,
    query: Result<Query<Parameters>, QueryRejection>,
) -> Result<Response, Problem> {
    let Path(id) = path.map_err(|_| Problem::UnreadablePath)?;
    let Query(parameters) = query.map_err(|rejection| Problem::InvalidQuery(rejection.body_text()))?;
    let wait = wait::parse(parameters.wait.as_deref(), service.limits.max_wait)?;
    let text_id = RequestId::from_text(&id).map_err(Problem::InvalidRequestId)?;
    let found = match settled(&service, &text_id, wait).await? {
        Some(seen) => Some(seen),
        None => integer_record(&service, &id, wait).await?,
    };
    found.map(answer).ok_or(Problem::NoSuchRequest { id })
}

/// A path cannot tell the string "7" from the integer 7, which a foreign sender may have used.
async fn integer_record(service: &Service, id: &str, wait: Duration) -> Result<Option<Seen>, Problem> {
    match RequestId::from_json(id) {
        Ok(integer) => settled(service, &integer, wait).await,
        Err(_) => Ok(None),
    }
}

/// The record once it is final, or as it is after `wait`. An unknown request is not waited for; a store that fails
/// after the first look is, for it may be back in time. Who finds no place to wait gets what is known now, as after a
/// wait in vain.
async fn settled(service: &Service, id: &RequestId, wait: Duration) -> Result<Option<Seen>, Problem> {
    let seen = |record: Option<Record>, ask_again| record.map(|record| Seen { record, ask_again });
    if wait.is_zero() {
        return Ok(seen(service.store.find(id).await?, ASK_AGAIN));
    }
    let deadline = tokio::time::Instant::now() + wait;
    let (place, mut waits) = (service.waiters.join(id), None);
    loop {
        // Listening begins before the look, so that no end falls between the two.
        let woken = place.woken();
        let found = service.store.find(id).await;
        let is_worth_waiting = match &found {
            Ok(record) => record.as_ref().is_some_and(|record| !record.status.is_final()),
            Err(_) => waits.is_some(),
        };
        if !is_worth_waiting {
            return Ok(seen(found?, ASK_AGAIN));
        }
        waits = waits.or_else(|| service.waiting.place());
        if waits.is_none() {
            return Ok(seen(found?, ASK_LATER));
        }
        let is_over = tokio::select! {
            () = woken => false,
            // A store that was away for a moment.
            () = tokio::time::sleep(AGAIN), if found.is_err() => false,
            () = tokio::time::sleep_until(deadline) => true,
            () = service.stop.cancelled() => true,
        };
        if is_over {
            return Ok(seen(last_look(service, id, found).await?, ASK_AGAIN));
        }
    }
}

/// What is known at the end of a wait: progress wakes nobody. If the store does not tell now, what it told before it.
async fn last_look(service: &Service, id: &RequestId, before: Found) -> Found {
    match tokio::time::timeout(AGAIN, service.store.find(id)).await {
        Ok(Ok(record)) => Ok(record),
        _ => before,
    }
}

fn answer(Seen { record, ask_again }: Seen) -> Response {
    let is_final = record.status.is_final();
    // Worth asking again: soon while it waits or works, not before its time while it waits for a retry.
    let seconds = match (record.status, record.next_attempt_at) {
        (Status::Retrying, Some(next)) => (next.as_second() - jiff::Timestamp::now().as_second()).max(ask_again),
        _ => ask_again,
    };
    let mut response = Json(record).into_response();
    if !is_final {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

//! Replays: `POST /api/v1/dead-letters/replay` asks for one, `/api/v1/replays` tells how far they are.

use super::{Problem, Service, dead_letters, submit};
use crate::{
    replay::{Job, MOST_PER_SECOND},
    store::{Chosen, NewReplay},
};
use axum::{
    Json,
    body::Bytes,
    extract::{
        Path, State,
        rejection::{BytesRejection, PathRejection},
    },
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use warren_messaging::{message, request_id::RequestId};

const DEFAULT_RATE: u32 = 100;
/// The most requests that one call names.
const MOST_IDS: usize = 10_000;
/// How many replays are listed.
const MOST_LISTED: u32 = 100;

/// What a client wants to have replayed.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Wanted {
    request_ids: Option<Vec<RequestId>>,
    filter: Option<WantedFilter>,
    rate: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WantedFilter {
    reason: Option<String>,
    since: Option<String>,
    until: Option<String>,
}

/// The newest replays.
#[derive(Serialize)]
pub(super) struct Replays {
    replays: Vec<Job>,
}

pub(super) async fn create(
    State(service): State<Service>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let body = submit::read(&headers, body, service.limits)?;
    let (chosen, rate) = wanted(&body)?;
    accept(&service, chosen, rate).await
}

/// Makes a job, and answers with it.
pub(super) async fn accept(service: &Service, chosen: Chosen, rate: u32) -> Result<Response, Problem> {
    let replay = NewReplay { id: uuid::Uuid::now_v7().to_string(), chosen, rate };
    let job = service.store.create_replay(replay).await?;
    tracing::info!(job = job.job_id, source = job.source, total = job.total, rate, "asked for a replay");
    service.replays.notify_one();
    let location =
        HeaderValue::from_str(&format!("/api/v1/replays/{}", job.job_id)).expect("a UUID makes a valid header");
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(job)).into_response())
}

pub(super) async fn list(State(service): State<Service>) -> Result<Json<Replays>, Problem> {
    Ok(Json(Replays { replays: service.store.recent_replays(MOST_LISTED).await? }))
}

pub(super) async fn find(
    State(service): State<Service>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let id = job_id(id)?;
    let job = service.store.find_replay(&id).await?.ok_or(Problem::NoSuchReplay { id })?;
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(job)).into_response())
}

pub(super) async fn cancel(
    State(service): State<Service>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Job>, Problem> {
    let id = job_id(id)?;
    let job = service.store.cancel_replay(&id).await?.ok_or(Problem::NoSuchReplay { id })?;
    service.replays.notify_one();
    Ok(Json(job))
}

/// Only what can be one is looked for: PostgreSQL takes no NUL in a text.
fn job_id(id: Result<Path<String>, PathRejection>) -> Result<String, Problem> {
    let Path(id) = id.map_err(|_| Problem::UnreadablePath)?;
    match uuid::Uuid::parse_str(&id) {
        Ok(id) => Ok(id.to_string()),
        Err(_) => Err(Problem::NoSuchReplay { id }),
    }
}

/// Reads what is wanted.
pub(super) fn read<'a, W: Deserialize<'a>>(body: &'a [u8]) -> Result<W, Problem> {
    message::read(body).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => Problem::InvalidReplay(error.to_string()),
        _ => Problem::InvalidJson(error),
    })
}

/// The rate that is wanted, if it is possible.
pub(super) fn rate(given: Option<u32>) -> Result<u32, Problem> {
    let rate = given.unwrap_or(DEFAULT_RATE);
    if (1..=MOST_PER_SECOND).contains(&rate) {
        return Ok(rate);
    }
    Err(Problem::InvalidReplay(format!("`rate` is {rate}: write 1 to {MOST_PER_SECOND} requests per second")))
}

fn wanted(body: &[u8]) -> Result<(Chosen, u32), Problem> {
    let Wanted { request_ids, filter, rate } = read(body)?;
    let rate = self::rate(rate)?;
    let chosen = match (request_ids, filter) {
        (Some(ids), None) if (1..=MOST_IDS).contains(&ids.len()) => Chosen::Named(BTreeSet::from_iter(ids)),
        (Some(ids), None) => {
            let count = ids.len();
            return Err(Problem::InvalidReplay(format!(
                "`requestIds` has {count} ids: name 1 to {MOST_IDS}, or use `filter`"
            )));
        }
        (None, Some(WantedFilter { reason, since, until })) => {
            Chosen::Filtered(dead_letters::filter(reason, since, until).map_err(Problem::InvalidReplay)?)
        }
        _ => return Err(Problem::InvalidReplay("exactly one of the two is needed".into())),
    };
    Ok((chosen, rate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_named_or_filtered_and_an_empty_filter_means_all() {
        let (chosen, rate) =
            wanted(br#"{"requestIds": ["a", 7, "a"]}"#).map_err(|problem| problem.to_string()).expect("is one");
        assert!(matches!(chosen, Chosen::Named(ids) if ids.len() == 2));
        assert_eq!(rate, 100);
        let (chosen, rate) =
            wanted(br#"{"filter": {}, "rate": 5}"#).map_err(|problem| problem.to_string()).expect("is one");
        assert!(matches!(chosen, Chosen::Filtered(filter) if filter == Default::default()));
        assert_eq!(rate, 5);
    }

    #[test]
    fn each_wrong_wish_is_named_with_what_would_be_right() {
        for (body, kind, word) in [
            ("{", "invalid-json", "not JSON"),
            ("{}", "invalid-replay", "exactly one"),
            (r#"{"requestIds": ["a"], "filter": {}}"#, "invalid-replay", "exactly one"),
            (r#"{"requestIds": []}"#, "invalid-replay", "1 to 10000"),
            (r#"{"requestIds": [1.5]}"#, "invalid-replay", "string or integer"),
            (r#"{"filter": {"reason": "bad luck"}}"#, "invalid-replay", "attempts_exhausted"),
            (r#"{"filter": {"status": "failed"}}"#, "invalid-replay", "`status`"),
            (r#"{"filter": {}, "rate": 0}"#, "invalid-replay", "`rate`"),
        ] {
            let problem = wanted(body.as_bytes()).map(drop).expect_err(body);
            assert_eq!(problem.word(), kind, "{body}");
            assert!(problem.to_string().contains(word), "{problem}");
        }
    }
}

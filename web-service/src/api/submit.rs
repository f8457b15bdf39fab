//! `POST /api/v1/processData`: takes a request in.

use super::{Limits, Problem, Service};
use crate::{
    listen::BodyFault,
    record::{Change, Status, What},
};
use axum::{
    Json,
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use serde_json::value::RawValue;
use std::time::Duration;
use warren_messaging::{
    duration,
    message::{self, Request},
    request_id::RequestId,
};

/// What a client sends.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Submit<'a> {
    #[serde(borrow)]
    pub(super) data: &'a RawValue,
    /// How long the request is worth beginning.
    #[serde(default, rename = "expiresIn", deserialize_with = "expiry")]
    expires_in: Option<Duration>,
}

/// What it gets.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Accepted {
    request_id: RequestId,
    status: Status,
    status_url: String,
}

/// Publish, confirm, record, answer: in this order, so that a 202 is a promise.
pub(super) async fn submit(
    State(service): State<Service>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    match accept(&service, &headers, body).await {
        Ok(accepted) => {
            service.metrics.submitted.inc();
            answer(accepted)
        }
        Err(problem) => {
            service.metrics.refuse(problem.word());
            problem.into_response()
        }
    }
}

async fn accept(
    service: &Service,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<RequestId, Problem> {
    let body = read(headers, body, service.limits)?;
    let submit = parse(&body)?;
    // A request that could not be recorded should not run either.
    if let Some(failure) = service.store.health().failure() {
        return Err(Problem::StoreUnavailable(failure));
    }
    let request_id = new_id();
    let at = Timestamp::now();
    // A deadline beyond the end of time is none.
    let deadline = submit.expires_in.and_then(|expires_in| at.checked_add(expires_in).ok());
    let request = Request { request_id: request_id.clone(), request_data: submit.data };
    let message = deadline.map_or_else(|| request.to_message(), |deadline| request.to_message_until(deadline));
    service.publisher.publish(&message).await?;
    let submitted = Change { id: request_id.clone(), at, replay: Some(0), what: What::Submitted { deadline } };
    service.store.record([submitted]).await.map_err(Problem::NotRecorded)?;
    Ok(request_id)
}

/// A body that is declared as JSON, whole and within the limit.
pub(super) fn read(headers: &HeaderMap, body: Result<Bytes, BytesRejection>, limits: Limits) -> Result<Bytes, Problem> {
    let content_type = headers.get(header::CONTENT_TYPE);
    if !content_type.is_some_and(is_json) {
        let given =
            content_type.map_or("missing".into(), |value| format!("`{}`", value.to_str().unwrap_or("unreadable")));
        return Err(Problem::UnsupportedMediaType { given });
    }
    body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::BodyTooLarge { limit: limits.max_body_bytes },
        _ => match BodyFault::behind(&rejection) {
            Some(BodyFault::TooSlow(allowed)) => Problem::BodyTooSlow(*allowed),
            Some(BodyFault::Overloaded) => Problem::Overloaded,
            Some(BodyFault::Broken(_)) | None => Problem::BodyCut,
        },
    })
}

/// `application/json`, or a type with the suffix `+json`; parameters such as `charset` do not matter.
fn is_json(value: &HeaderValue) -> bool {
    let text = value.to_str().unwrap_or_default();
    let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

pub(super) fn parse(body: &[u8]) -> Result<Submit<'_>, Problem> {
    message::read(body).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => Problem::InvalidBody(error),
        _ => Problem::InvalidJson(error),
    })
}

fn expiry<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let expires_in = duration::text::deserialize(deserializer)?;
    if expires_in.is_zero() {
        return Err(D::Error::custom("`expiresIn` is 0s: write how long the request is worth beginning, such as 5m"));
    }
    Ok(Some(expires_in))
}

/// UUIDv7: ordered by time, so that ids are kind to an index and to a reader of logs.
fn new_id() -> RequestId {
    RequestId::from_text(&uuid::Uuid::now_v7().to_string()).expect("a UUID is a valid request id")
}

fn answer(request_id: RequestId) -> Response {
    let status_url = format!("/api/v1/requests/{request_id}");
    let location = HeaderValue::from_str(&status_url).expect("a UUID makes a valid header");
    let headers = [(header::LOCATION, location), (header::RETRY_AFTER, HeaderValue::from_static("1"))];
    let accepted = Accepted { request_id, status: Status::Queued, status_url };
    (StatusCode::ACCEPTED, headers, Json(accepted)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_kept_byte_for_byte() {
        let body = br#"{"data": {"n":1.50, "big":123456789012345678901234567890} }"#;
        let submit = parse(body).map_err(|problem| problem.to_string()).expect("is valid");
        assert_eq!(submit.data.get(), r#"{"n":1.50, "big":123456789012345678901234567890}"#);
    }

    #[test]
    fn a_body_of_another_shape_is_told_apart_from_one_that_is_no_json() {
        for (body, word) in [
            (&b"{\"data\": "[..], "invalid-json"),
            (b"hello", "invalid-json"),
            (b"", "invalid-json"),
            (b"{\"data\":1} trailing", "invalid-json"),
            (b"{}", "invalid-body"),
            (b"[1]", "invalid-body"),
            (b"{\"dat\": 1}", "invalid-body"),
            (b"{\"data\":1,\"priority\":9}", "invalid-body"),
            (b"{\"data\":1,\"expiresIn\":\"soon\"}", "invalid-body"),
            (b"{\"data\":1,\"expiresIn\":\"0s\"}", "invalid-body"),
            (b"{\"data\":1,\"expiresIn\":null}", "invalid-body"),
        ] {
            let problem = parse(body).map(|_| ()).expect_err(&String::from_utf8_lossy(body));
            assert_eq!(problem.word(), word, "{}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn json_content_types_are_known_with_parameters_and_suffix() {
        for (text, expected) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("application/vnd.api+json", true),
            ("text/plain", false),
            ("application/x-www-form-urlencoded", false),
        ] {
            assert_eq!(is_json(&HeaderValue::from_static(text)), expected, "{text}");
        }
    }
}

//! Refusals, as RFC 9457 `application/problem+json` with stable types.

use crate::store::StoreError;
use axum::{
    http::{HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use std::time::Duration;
use warren_messaging::{
    duration, error_chain::Chain, message::LARGEST_BODY, publisher::PublishError, request_id::RequestIdError,
};

/// Every refusal's `type` begins with this; docs/problems.md has a heading for each.
const TYPE_BASE: &str = "https://warren.dev/problems/";

/// Why a call was refused.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The body is no JSON.
    #[error("the body is not JSON: {0}")]
    InvalidJson(serde_json::Error),
    /// The body is JSON of another shape.
    #[error("the body must be an object with the member `data`, for example {{\"data\": \"hello\"}}: {0}")]
    InvalidBody(serde_json::Error),
    /// The body is over the limit.
    #[error("the body is larger than {limit} bytes: send less, or raise spec.web.maxBodyBytes")]
    BodyTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// RabbitMQ may take no message of this size.
    #[error(
        "the request is larger than RabbitMQ takes, {} bytes: send less, for example a link to the data",
        LARGEST_BODY
    )]
    MessageTooLarge,
    /// The body did not arrive whole.
    #[error("the body could not be read to its end")]
    BodyCut,
    /// The body took too long.
    #[error("the body did not arrive within {}: send it faster, or raise --body-timeout", duration::format(*.0))]
    BodyTooSlow(Duration),
    /// There is no memory for the body, or for the answer.
    #[error("too many large bodies are on their way at this moment: try again, or raise --max-held-bytes")]
    Overloaded,
    /// Enough others ask for a replay of the journal.
    #[error("others are asking for a replay of the journal at this moment: try again")]
    JournalBusy,
    /// There are too many connections.
    #[error("too many clients are connected at this moment: try again, or raise --max-connections")]
    TooManyConnections,
    /// The body is declared as something else than JSON.
    #[error("the content type is {given}: send the header `content-type: application/json`")]
    UnsupportedMediaType {
        /// What was given.
        given: String,
    },
    /// The path has no usable id.
    #[error("{0}")]
    InvalidRequestId(RequestIdError),
    /// The path's escapes are no text.
    #[error("the id in the path has escapes that are not UTF-8: use the requestId of the answer to the submit")]
    UnreadablePath,
    /// Nothing is known of that id.
    #[error("no request has the id `{id}`: it was never accepted here, or it ended and its retention time is over")]
    NoSuchRequest {
        /// The id as given.
        id: String,
    },
    /// `wait` cannot be read or is too long.
    #[error("`wait` is `{given}`: write a duration from 0s to {}, such as 30s", duration::format(*.max))]
    InvalidWait {
        /// What was given.
        given: String,
        /// The longest wait.
        max: Duration,
    },
    /// Another query parameter cannot be used.
    #[error("{0}")]
    InvalidQuery(String),
    /// A wish for a replay that cannot be fulfilled as it is.
    #[error(
        "the body must be an object with either `requestIds` or `filter`, for example {{\"filter\": {{}}}} for all dead \
         letters, and may have a `rate`: {0}"
    )]
    InvalidReplay(String),
    /// The same of the journal.
    #[error(
        "the body must be an object with `since`, for example {{\"since\": \"2026-11-25T15:00:00Z\"}}, and may have \
         `until`, `rate`, `into` and `includeForgotten`: {0}"
    )]
    InvalidJournalReplay(String),
    /// No replay has that id.
    #[error("no replay has the id `{id}`: GET /api/v1/replays lists the newest")]
    NoSuchReplay {
        /// The id as given.
        id: String,
    },
    /// The pipeline keeps no journal.
    #[error(
        "there is no stream {stream}: this pipeline keeps no journal; set spec.topology.journal, and what is sent from \
         then on can be replayed"
    )]
    NoJournal {
        /// Where it would be.
        stream: String,
    },
    /// The exchange that the journal is to be replayed into is not there.
    #[error(
        "there is no exchange {exchange} on this virtual host: name the exchange of another pipeline there, mostly its \
         name, or leave `into` out"
    )]
    NoSuchExchange {
        /// The exchange as given.
        exchange: String,
    },
    /// There is nothing at that path.
    #[error("there is nothing at {path}: submit with POST /api/v1/processData, look up with GET /api/v1/requests/<id>")]
    NoSuchRoute {
        /// The path.
        path: String,
    },
    /// The path exists, for another method.
    #[error("{method} is not possible here: use {allowed}")]
    MethodNotAllowed {
        /// What was used.
        method: Method,
        /// What could be.
        allowed: &'static str,
    },
    /// The queue has no room.
    #[error("the queue is full: the processors have to catch up first; nothing was accepted, try again later")]
    QueueFull,
    /// RabbitMQ cannot be used now.
    #[error("the queue cannot be reached, nothing was accepted: {0}")]
    BrokerUnavailable(PublishError),
    /// It is unknown whether RabbitMQ has the request.
    #[error("{0}; it was not accepted, though it may still run: a new try may run it twice")]
    NotConfirmed(PublishError),
    /// RabbitMQ has the request, but there is no record of it.
    #[error(
        "the request was queued but could not be recorded; it was not accepted, though it may still run: a new try may run it twice"
    )]
    NotRecorded(#[source] StoreError),
    /// The store cannot be used now.
    #[error("the store of requests cannot be used now: {0}")]
    StoreUnavailable(String),
    /// A fault of ours.
    #[error("something went wrong inside the web service: its log says more")]
    Internal,
}

#[derive(Serialize)]
struct Body<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: String,
}

impl Problem {
    /// Last part of the type, title, and status.
    fn kind(&self) -> (&'static str, &'static str, StatusCode) {
        match self {
            Self::InvalidJson(_) => ("invalid-json", "The body is not JSON", StatusCode::BAD_REQUEST),
            Self::InvalidBody(_) => ("invalid-body", "The body has the wrong shape", StatusCode::BAD_REQUEST),
            Self::BodyTooLarge { .. } | Self::MessageTooLarge => {
                ("body-too-large", "The body is too large", StatusCode::PAYLOAD_TOO_LARGE)
            }
            Self::BodyCut => ("body-cut", "The body is incomplete", StatusCode::BAD_REQUEST),
            Self::BodyTooSlow(_) => ("body-too-slow", "The body took too long", StatusCode::REQUEST_TIMEOUT),
            Self::Overloaded => ("overloaded", "No memory for that now", StatusCode::SERVICE_UNAVAILABLE),
            Self::JournalBusy => ("overloaded", "Others ask for that now", StatusCode::SERVICE_UNAVAILABLE),
            Self::TooManyConnections => {
                ("too-many-connections", "Too many connections", StatusCode::SERVICE_UNAVAILABLE)
            }
            Self::UnsupportedMediaType { .. } => {
                ("unsupported-media-type", "The body is not declared as JSON", StatusCode::UNSUPPORTED_MEDIA_TYPE)
            }
            Self::InvalidRequestId(_) | Self::UnreadablePath => {
                ("invalid-request-id", "That is no request id", StatusCode::BAD_REQUEST)
            }
            Self::NoSuchRequest { .. } => ("no-such-request", "No such request", StatusCode::NOT_FOUND),
            Self::InvalidWait { .. } => ("invalid-wait", "That wait is not possible", StatusCode::BAD_REQUEST),
            Self::InvalidQuery(_) => ("invalid-query", "That query is not possible", StatusCode::BAD_REQUEST),
            Self::InvalidReplay(_) | Self::InvalidJournalReplay(_) => {
                ("invalid-replay", "That replay is not possible", StatusCode::BAD_REQUEST)
            }
            Self::NoSuchReplay { .. } => ("no-such-replay", "No such replay", StatusCode::NOT_FOUND),
            Self::NoJournal { .. } => ("no-journal", "The pipeline keeps no journal", StatusCode::CONFLICT),
            Self::NoSuchExchange { .. } => ("no-such-exchange", "No such exchange", StatusCode::UNPROCESSABLE_ENTITY),
            Self::NoSuchRoute { .. } => ("no-such-route", "No such route", StatusCode::NOT_FOUND),
            Self::MethodNotAllowed { .. } => {
                ("method-not-allowed", "Method not allowed", StatusCode::METHOD_NOT_ALLOWED)
            }
            Self::QueueFull => ("queue-full", "The queue is full", StatusCode::SERVICE_UNAVAILABLE),
            Self::BrokerUnavailable(_) => {
                ("broker-unavailable", "The queue cannot be reached", StatusCode::SERVICE_UNAVAILABLE)
            }
            Self::NotConfirmed(_) => {
                ("not-confirmed", "The queue did not confirm the request", StatusCode::SERVICE_UNAVAILABLE)
            }
            Self::NotRecorded(_) => {
                ("not-recorded", "The request could not be recorded", StatusCode::SERVICE_UNAVAILABLE)
            }
            Self::StoreUnavailable(_) => {
                ("store-unavailable", "The store cannot be used", StatusCode::SERVICE_UNAVAILABLE)
            }
            Self::Internal => ("internal", "Internal error", StatusCode::INTERNAL_SERVER_ERROR),
        }
    }

    /// The word by which metrics count this refusal.
    #[must_use]
    pub fn word(&self) -> &'static str {
        self.kind().0
    }

    /// After how many seconds a new try makes sense. A full queue refuses a publisher until it has drained by a
    /// fifth (quorum queues), so that one takes longer than a reconnect.
    fn retry_after(&self) -> Option<HeaderValue> {
        match self {
            Self::QueueFull => Some(HeaderValue::from_static("10")),
            _ if self.kind().2 == StatusCode::SERVICE_UNAVAILABLE => Some(HeaderValue::from_static("2")),
            _ => None,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (word, title, status) = self.kind();
        let detail = Chain(&self).to_string();
        let body = Body { r#type: format!("{TYPE_BASE}{word}"), title, status: status.as_u16(), detail };
        let json = serde_json::to_vec(&body).unwrap_or_default();
        let content_type = HeaderValue::from_static("application/problem+json");
        let mut response = (status, [(header::CONTENT_TYPE, content_type)], json).into_response();
        if let Some(seconds) = self.retry_after() {
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        if let Self::MethodNotAllowed { allowed, .. } = &self {
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
        }
        response
    }
}

impl From<PublishError> for Problem {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::Full { .. } => Self::QueueFull,
            PublishError::TooLarge { .. } => Self::MessageTooLarge,
            PublishError::Unavailable(_) | PublishError::Unroutable { .. } => Self::BrokerUnavailable(error),
            PublishError::TimedOut { .. } | PublishError::InDoubt { .. } => Self::NotConfirmed(error),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self::StoreUnavailable(Chain(&error).to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_rabbitmq_would_not_take_is_too_large_and_not_to_be_tried_again() {
        let problem = Problem::from(PublishError::TooLarge { key: "request".into(), size: LARGEST_BODY + 1 });
        assert_eq!(problem.kind().2, StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!((problem.word(), problem.retry_after()), ("body-too-large", None));
    }
}

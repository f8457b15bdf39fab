//! `POST /api/v1/journal/replay`: asks for a replay of what was sent within some time.

use super::{Problem, Service, dead_letters, replays, submit};
use crate::{
    journal::{Elsewhere, LookError, Missing, Wanted},
    store::Chosen,
};
use axum::{
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    http::HeaderMap,
    response::Response,
};
use jiff::Timestamp;
use serde::Deserialize;
use warren_messaging::{error_chain::Chain, link::LinkState, publisher::PublishError};

/// What a client sends.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Body {
    since: Option<String>,
    until: Option<String>,
    rate: Option<u32>,
    into: Option<Elsewhere>,
    #[serde(default)]
    include_forgotten: bool,
}

pub(super) async fn replay(
    State(service): State<Service>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let body = submit::read(&headers, body, service.limits)?;
    let (wanted, rate) = wanted(&body, &service.journal.exchange, Timestamp::now())?;
    let missing = service.journal.missing(&wanted).await.map_err(unseen)?;
    match (missing, &wanted.into) {
        (None, _) => replays::accept(&service, Chosen::Journal(wanted), rate).await,
        (Some(Missing::Exchange), Some(Elsewhere { exchange })) => {
            Err(Problem::NoSuchExchange { exchange: exchange.clone() })
        }
        (Some(_), _) => Err(Problem::NoJournal { stream: service.journal.stream.clone() }),
    }
}

fn unseen(error: LookError) -> Problem {
    match error {
        LookError::Busy => Problem::JournalBusy,
        LookError::Link(error) => {
            let last_error = Some(Chain(&error).to_string());
            Problem::BrokerUnavailable(PublishError::Unavailable(LinkState::Connecting { last_error }))
        }
    }
}

/// The longest name that AMQP has for an exchange, in bytes.
const LONGEST: usize = 255;

fn wanted(body: &[u8], own: &str, now: Timestamp) -> Result<(Wanted, u32), Problem> {
    let refuse = |what: &str| Problem::InvalidJournalReplay(what.to_owned());
    let Body { since, until, rate, into, include_forgotten } = replays::read(body).map_err(of_the_journal)?;
    let since = dead_letters::time("since", since).map_err(Problem::InvalidJournalReplay)?;
    let since = since.ok_or_else(|| refuse("`since` is needed, such as 2026-11-25T15:00:00Z"))?;
    let until = dead_letters::time("until", until).map_err(Problem::InvalidJournalReplay)?.unwrap_or(now);
    if until < since {
        return Err(refuse("`until` is before `since`"));
    }
    match &into {
        Some(Elsewhere { exchange }) if exchange.is_empty() || exchange.len() > LONGEST => {
            return Err(refuse("`into.exchange` has 1 to 255 bytes"));
        }
        Some(Elsewhere { exchange }) if exchange == own => {
            return Err(refuse("`into.exchange` is this pipeline's own: leave `into` out, and records are kept"));
        }
        _ => {}
    }
    Ok((Wanted { since, until, into, include_forgotten }, replays::rate(rate).map_err(of_the_journal)?))
}

fn of_the_journal(problem: Problem) -> Problem {
    match problem {
        Problem::InvalidReplay(what) => Problem::InvalidJournalReplay(what),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<(Wanted, u32), Problem> {
        wanted(body.as_bytes(), "p", Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_hours(24))
    }

    #[test]
    fn a_range_ends_now_unless_said_otherwise() {
        let (wanted, rate) =
            read(r#"{"since": "1970-01-01T01:00:00Z"}"#).map_err(|problem| problem.to_string()).expect("is one");
        assert_eq!((wanted.until.as_second(), rate), (86_400, 100));
        assert!(wanted.into.is_none() && !wanted.include_forgotten);
    }

    #[test]
    fn each_wrong_wish_is_named_with_what_would_be_right() {
        for (body, word) in [
            ("{}", "`since` is needed"),
            (r#"{"since": "2h"}"#, "RFC 3339"),
            (r#"{"since": "1970-01-01T01:00:00Z", "until": "1970-01-01T00:00:00Z"}"#, "before `since`"),
            (r#"{"since": "1970-01-01T01:00:00Z", "rate": 0}"#, "`rate`"),
            (r#"{"since": "1970-01-01T01:00:00Z", "into": {"exchange": "p"}}"#, "this pipeline's own"),
            (r#"{"since": "1970-01-01T01:00:00Z", "into": {"exchange": ""}}"#, "1 to 255"),
            (r#"{"since": "1970-01-01T01:00:00Z", "into": {"queue": "q"}}"#, "`queue`"),
        ] {
            let problem = read(body).map(drop).expect_err(body);
            assert_eq!(problem.word(), "invalid-replay", "{body}");
            assert!(problem.to_string().contains(word), "{problem}");
        }
    }
}

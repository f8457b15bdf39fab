//! `GET /api/v1/dead-letters`: which requests were given up, newest first, page by page.

use super::{Problem, Service, list};
use crate::dead_letter::{DeadLetter, Filter};
use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use warren_messaging::message::FailureReason;

/// The query of a list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    reason: Option<String>,
    since: Option<String>,
    until: Option<String>,
    cursor: Option<String>,
    limit: Option<String>,
}

/// A page; `nextCursor` is absent on the last one.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeadLetters {
    dead_letters: Vec<DeadLetter>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

pub(super) async fn list(
    State(service): State<Service>,
    query: Result<Query<Parameters>, QueryRejection>,
) -> Result<Json<DeadLetters>, Problem> {
    let Query(parameters) = query.map_err(|rejection| Problem::InvalidQuery(rejection.body_text()))?;
    let Parameters { reason, since, until, cursor, limit } = parameters;
    let filter = filter(reason, since, until).map_err(Problem::InvalidQuery)?;
    let (before, limit) = (cursor.as_deref().map(list::cursor).transpose()?, list::limit(limit.as_deref())?);
    let page = service.store.dead_letters(filter, before, limit).await?;
    Ok(Json(DeadLetters { dead_letters: page.letters, next_cursor: page.next.map(|place| place.to_string()) }))
}

/// Reads the parts of a filter; an error names the part and what would be right.
pub(super) fn filter(reason: Option<String>, since: Option<String>, until: Option<String>) -> Result<Filter, String> {
    if let Some(word) = reason.as_deref().filter(|word| FailureReason::ALL.iter().all(|known| known.as_str() != *word))
    {
        let words = FailureReason::ALL.map(FailureReason::as_str).join(", ");
        return Err(format!("`reason` is `{word}`: it is one of {words}"));
    }
    Ok(Filter { reason, since: time("since", since)?, until: time("until", until)? })
}

/// Reads a time.
pub(super) fn time(name: &str, text: Option<String>) -> Result<Option<Timestamp>, String> {
    let refuse =
        |text: &str| format!("`{name}` is `{text}`: write a time as RFC 3339 has it, such as 2026-11-25T15:00:00Z");
    text.map(|text| text.parse().map_err(|_| refuse(&text))).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wrong_part_of_a_filter_is_named_with_what_would_be_right() {
        let own = |text: &str| Some(text.to_owned());
        for (reason, since, until, word) in [
            (own("bad luck"), None, None, "attempts_exhausted"),
            (None, own("yesterday"), None, "`since`"),
            (None, None, own("12:00"), "RFC 3339"),
        ] {
            let refusal = filter(reason, since, until).expect_err(word);
            assert!(refusal.contains(word), "{refusal}");
        }
        let all = filter(own("expired"), own("2026-11-25T15:00:00Z"), own("2026-11-25T16:00:00+01:00"));
        let all = all.expect("is one");
        assert_eq!(all.since, all.until);
    }
}

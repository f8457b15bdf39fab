//! `GET /api/v1/requests`: which requests there are, newest first, page by page.

use super::{Problem, Service};
use crate::{
    record::{Record, Status},
    store::Filter,
};
use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
};
use serde::{Deserialize, Serialize};

const DEFAULT_LIMIT: u32 = 50;
const MAX_LIMIT: u32 = 1000;

/// The query of a list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    pub(super) status: Option<String>,
    pub(super) cursor: Option<String>,
    pub(super) limit: Option<String>,
}

/// A page; `nextCursor` is absent on the last one.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Requests {
    requests: Vec<Record>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

pub(super) async fn list(
    State(service): State<Service>,
    query: Result<Query<Parameters>, QueryRejection>,
) -> Result<Json<Requests>, Problem> {
    let Query(parameters) = query.map_err(|rejection| Problem::InvalidQuery(rejection.body_text()))?;
    let page = service.store.list(&filter(&parameters)?).await?;
    Ok(Json(Requests { requests: page.records, next_cursor: page.next.map(|place| place.to_string()) }))
}

pub(super) fn filter(parameters: &Parameters) -> Result<Filter, Problem> {
    let status = parameters.status.as_deref().map(str::parse::<Status>).transpose();
    Ok(Filter {
        status: status.map_err(|error| Problem::InvalidQuery(error.to_string()))?,
        before: parameters.cursor.as_deref().map(cursor).transpose()?,
        limit: limit(parameters.limit.as_deref())?,
    })
}

/// A place in the order of arrival.
pub(super) fn cursor(text: &str) -> Result<i64, Problem> {
    let refuse = || Problem::InvalidQuery(format!("`cursor` is `{text}`: use the nextCursor of the page before"));
    text.parse().map_err(|_| refuse())
}

/// How many a page has at most.
pub(super) fn limit(text: Option<&str>) -> Result<u32, Problem> {
    let Some(text) = text else { return Ok(DEFAULT_LIMIT) };
    let within = text.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
    within.ok_or_else(|| Problem::InvalidQuery(format!("`limit` is `{text}`: write a number from 1 to {MAX_LIMIT}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filtered(status: Option<&str>, cursor: Option<&str>, limit: Option<&str>) -> Result<Filter, String> {
        let own = |text: Option<&str>| text.map(str::to_owned);
        let parameters = Parameters { status: own(status), cursor: own(cursor), limit: own(limit) };
        filter(&parameters).map_err(|problem| problem.to_string())
    }

    #[test]
    fn without_parameters_the_newest_fifty_are_listed() {
        assert_eq!(filtered(None, None, None), Ok(Filter { status: None, before: None, limit: 50 }));
    }

    #[test]
    fn each_wrong_parameter_is_named_with_what_would_be_right() {
        for (given, word) in [
            ((Some("done"), None, None), "queued, started"),
            ((None, Some("x"), None), "nextCursor"),
            ((None, None, Some("0")), "1 to 1000"),
            ((None, None, Some("many")), "1 to 1000"),
        ] {
            let refusal = filtered(given.0, given.1, given.2).expect_err(word);
            assert!(refusal.contains(word), "{refusal}");
        }
    }
}

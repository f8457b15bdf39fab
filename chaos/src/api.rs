//! Warren's HTTP API, as a strict client sees it.

use crate::rule::Task;
use futures::{StreamExt as _, TryStreamExt as _};
use reqwest::{StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};

/// A submit that takes longer hangs: the longest fault, and every timeout of Warren's on top.
const HANGS: Duration = Duration::from_secs(60);

/// How many lookups are under way at a time.
const ABREAST: usize = 32;

/// The pipeline's API. Clones share its connections.
#[derive(Clone, Debug)]
pub struct Api {
    http: reqwest::Client,
    base: String,
}

/// What became of a submit.
#[derive(Debug)]
pub enum Submitted {
    /// 202, with this id.
    Promised(String),
    /// An honest 503: of this kind.
    Refused(String),
    /// The connection broke: nobody knows.
    Broken,
    /// Something that Warren must not do.
    Wrong(String),
}

/// A request as the API tells of it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Its id.
    pub request_id: String,
    /// `queued`, `started`, `retrying`, `succeeded` or `failed`.
    pub status: String,
    /// The newest attempt that was heard of.
    pub attempts: u32,
    /// When it ended.
    pub finished_at: Option<String>,
    /// What came out.
    pub result: Option<Value>,
    /// What went wrong last.
    pub error: Option<Value>,
}

impl Record {
    /// Whether nothing may change any more.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self.status.as_str(), "succeeded" | "failed")
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    requests: Vec<Record>,
    next_cursor: Option<String>,
}

impl Api {
    /// At this address.
    ///
    /// # Errors
    /// No HTTP client is to be had.
    pub fn new(base: &str) -> anyhow::Result<Self> {
        Ok(Self { http: reqwest::Client::builder().build()?, base: base.to_owned() })
    }

    /// Submits a task.
    pub async fn submit(&self, task: &Task) -> Submitted {
        let request = self.http.post(format!("{}/api/v1/processData", self.base)).json(&json!({ "data": task }));
        let answer = match request.timeout(HANGS).send().await {
            Ok(answer) => answer,
            Err(error) if error.is_timeout() => return Submitted::Wrong(format!("a submit hung for {HANGS:?}")),
            Err(_) => return Submitted::Broken,
        };
        let (status, headers) = (answer.status(), answer.headers().clone());
        let Ok(body) = answer.bytes().await else { return Submitted::Broken };
        judge(status, &headers, &body)
    }

    /// A request's record.
    ///
    /// # Errors
    /// There is none, or no answer.
    pub async fn get(&self, id: &str, wait: Duration) -> anyhow::Result<Record> {
        let url = format!("{}/api/v1/requests/{id}?wait={}ms", self.base, wait.as_millis());
        let answer = self.http.get(url).timeout(wait + Duration::from_secs(5)).send().await?;
        Ok(answer.error_for_status()?.json().await?)
    }

    /// The whole records of these ids, results included, which lists leave out.
    ///
    /// # Errors
    /// One of them cannot be had.
    pub async fn details(&self, ids: impl IntoIterator<Item = String>) -> anyhow::Result<BTreeMap<String, Record>> {
        let looking = ids.into_iter().map(|id| async move { self.get(&id, Duration::ZERO).await });
        let mut records = futures::stream::iter(looking).buffer_unordered(ABREAST);
        let mut found = BTreeMap::new();
        while let Some(record) = records.try_next().await? {
            found.insert(record.request_id.clone(), record);
        }
        Ok(found)
    }

    /// All records, or those of a status, by id and without their results; and the ids that were listed twice.
    ///
    /// # Errors
    /// No answer.
    pub async fn list(&self, status: Option<&str>) -> anyhow::Result<(BTreeMap<String, Record>, Vec<String>)> {
        let (mut found, mut twice, mut cursor) = (BTreeMap::new(), Vec::new(), String::new());
        let status = status.map(|status| format!("&status={status}")).unwrap_or_default();
        loop {
            let url = format!("{}/api/v1/requests?limit=1000{status}{cursor}", self.base);
            let answer = self.http.get(url).timeout(Duration::from_secs(30)).send().await?;
            let page: Page = answer.error_for_status()?.json().await?;
            for record in page.requests {
                if let Some(former) = found.insert(record.request_id.clone(), record) {
                    twice.push(former.request_id);
                }
            }
            match page.next_cursor {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok((found, twice)),
            }
        }
    }

    /// Whether the web side says that it is ready.
    pub async fn is_ready(&self) -> bool {
        let answer = self.http.get(format!("{}/readyz", self.base)).timeout(Duration::from_secs(5)).send().await;
        answer.is_ok_and(|answer| answer.status() == StatusCode::OK)
    }
}

fn judge(status: StatusCode, headers: &header::HeaderMap, body: &[u8]) -> Submitted {
    let text = || String::from_utf8_lossy(body).chars().take(300).collect::<String>();
    let header = |name| headers.get(name).and_then(|value: &header::HeaderValue| value.to_str().ok()).unwrap_or("");
    let json: Value = serde_json::from_slice(body).unwrap_or_default();
    match status {
        StatusCode::ACCEPTED => match json["requestId"].as_str() {
            Some(id) => Submitted::Promised(id.to_owned()),
            None => Submitted::Wrong(format!("a 202 without an id: {}", text())),
        },
        StatusCode::SERVICE_UNAVAILABLE => {
            let honest = header(header::CONTENT_TYPE).starts_with("application/problem+json")
                && header(header::RETRY_AFTER).parse::<u32>().is_ok();
            match json["type"].as_str().and_then(|kind| kind.rsplit('/').next()) {
                Some(kind) if honest => Submitted::Refused(kind.to_owned()),
                _ => Submitted::Wrong(format!("a 503 that does not explain itself: {headers:?} {}", text())),
            }
        }
        other => Submitted::Wrong(format!("a submit was answered {other}: {}", text())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(status: u16, headers: &[(header::HeaderName, &'static str)], body: &str) -> String {
        let status = StatusCode::from_u16(status).expect("is a status");
        let headers = headers.iter().map(|(name, value)| (name.clone(), header::HeaderValue::from_static(value)));
        format!("{:?}", judge(status, &headers.collect(), body.as_bytes()))
    }

    #[test]
    fn only_a_503_that_explains_itself_and_says_when_to_try_again_is_honest() {
        let (kind, later) = ((header::CONTENT_TYPE, "application/problem+json"), (header::RETRY_AFTER, "2"));
        let body = r#"{"type":"https://warren.dev/problems/not-confirmed"}"#;
        assert_eq!(judged(503, &[kind.clone(), later.clone()], body), "Refused(\"not-confirmed\")");
        assert!(judged(503, std::slice::from_ref(&kind), body).starts_with("Wrong"));
        assert!(judged(503, &[later], body).starts_with("Wrong"));
        assert!(judged(500, &[kind], body).starts_with("Wrong"));
    }

    #[test]
    fn a_promise_needs_an_id() {
        assert_eq!(judged(202, &[], r#"{"requestId":"x"}"#), "Promised(\"x\")");
        assert!(judged(202, &[], "{}").starts_with("Wrong"));
    }
}

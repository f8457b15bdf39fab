//! Asks the web side what a person would: how many requests, and what became of the last ones.

use super::board::Board;
use crate::labels::Side;
use jiff::{SpanRound, Timestamp, Unit};
use serde::Deserialize;
use std::{net::SocketAddr, time::Duration};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How often it is asked.
const LOOK: Duration = Duration::from_secs(1);
/// How many requests are shown.
const SHOWN: usize = 3;

/// What the API tells of a request, as far as it is shown.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    request_id: serde_json::Value,
    status: String,
    submitted_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
    error: Option<RequestError>,
}

#[derive(Deserialize)]
struct RequestError {
    message: String,
}

#[derive(Deserialize)]
struct Page {
    requests: Vec<Request>,
}

/// Shows a pipeline's rate and last outcomes on the board, until `stop`.
pub async fn watch(pipeline: String, http: reqwest::Client, board: Board, stop: CancellationToken) {
    let mut before: Option<(Instant, u64)> = None;
    while stop.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_some() {
        let replicas = board.ready(&pipeline, Side::Web);
        let Some(submitted) = submitted(&http, &replicas).await else { continue };
        let now = Instant::now();
        let rate = before.map_or(0.0, |(then, earlier)| {
            // A replica that was started again counts from zero.
            submitted.saturating_sub(earlier) as f64 / (now - then).as_secs_f64()
        });
        before = Some((now, submitted));
        let outcomes = outcomes(&http, &replicas).await.unwrap_or_default();
        board.set_vitals(&pipeline, rate, outcomes);
    }
}

/// Requests that the replicas have accepted, all together.
async fn submitted(http: &reqwest::Client, replicas: &[SocketAddr]) -> Option<u64> {
    let mut sum = 0;
    for address in replicas {
        let text = get(http, &format!("http://{address}/metrics")).await?;
        sum += counter(&text, "warren_web_requests_submitted_total")?;
    }
    (!replicas.is_empty()).then_some(sum)
}

async fn outcomes(http: &reqwest::Client, replicas: &[SocketAddr]) -> Option<Vec<String>> {
    let address = replicas.first()?;
    let text = get(http, &format!("http://{address}/api/v1/requests?limit={SHOWN}")).await?;
    let page: Page = serde_json::from_str(&text).ok()?;
    Some(page.requests.iter().map(describe).collect())
}

async fn get(http: &reqwest::Client, url: &str) -> Option<String> {
    let answer = http.get(url).timeout(LOOK).send().await.ok()?;
    answer.error_for_status().ok()?.text().await.ok()
}

/// The value of a counter without labels in OpenMetrics text.
fn counter(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    value.parse().ok()
}

/// `019a… succeeded after 5.1s`.
fn describe(request: &Request) -> String {
    let id = request.request_id.as_str().map_or_else(|| request.request_id.to_string(), str::to_owned);
    let took = request.submitted_at.zip(request.finished_at).and_then(|(from, to)| {
        let rounded = (to - from).round(SpanRound::new().largest(Unit::Second).smallest(Unit::Millisecond)).ok()?;
        Some(format!(" after {:.1} s", rounded.total(Unit::Second).ok()?))
    });
    let error = request.error.as_ref().map(|error| format!(": {}", error.message.lines().next().unwrap_or_default()));
    format!("{id} {}{}{}", request.status, took.unwrap_or_default(), error.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_found_among_others() {
        let text = "# TYPE a counter\na_total 3\nwarren_x_total{kind=\"y\"} 9\nwarren_x_total 7\n# EOF\n";
        assert_eq!(counter(text, "warren_x_total"), Some(7));
        assert_eq!(counter(text, "missing_total"), None);
    }

    #[test]
    fn an_outcome_reads_as_a_sentence() {
        let json = r#"{"requestId":"019a","status":"failed","submittedAt":"2026-01-01T00:00:00Z",
            "finishedAt":"2026-01-01T00:00:05.125Z","error":{"message":"no luck\nat all"}}"#;
        let request: Request = serde_json::from_str(json).expect("is a request");
        assert_eq!(describe(&request), "019a failed after 5.1 s: no luck");
    }
}

//! POSTs each request to an HTTP server: the user's container, mostly.

mod answer;
#[cfg(test)]
mod properties;
mod retry_after;

use crate::{Handler, Outcome, Work, handler_settings::HandlerError};
use answer::{Body, is_for_now, judge};
use reqwest::{
    Client, Response, Url,
    header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER},
    redirect::Policy,
};
use std::{error::Error as _, time::Duration};

/// How long a connection to the server may take: beyond that it is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection may wait for the next request. Servers close theirs after two seconds at the earliest
/// (gunicorn; Node and uvicorn after five), and a request that meets the close would cost an attempt.
const IDLE_TIMEOUT: Duration = Duration::from_secs(1);

/// POSTs each request to a URL.
#[derive(Debug)]
pub(crate) struct Http {
    client: Client,
    url: Url,
    /// The URL as errors name it: they reach the record, and whoever reads it.
    shown: String,
    max_result_bytes: usize,
}

impl Http {
    /// For `http://` only: what answers is a neighbour in the same Pod, or on the same network.
    pub(crate) fn new(url: &str, max_result_bytes: usize) -> Result<Self, HandlerError> {
        let url = check(url)?;
        let shown = without_secrets(url.clone());
        let client = Client::builder()
            .no_proxy()
            .redirect(Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .build()
            .map_err(HandlerError::Client)?;
        Ok(Self { client, url, shown, max_result_bytes })
    }

    async fn post(&self, work: &Work<'_>) -> reqwest::Result<Response> {
        let request = self.client.post(self.url.clone()).headers(headers(work));
        request.body(work.data.get().to_owned()).send().await
    }

    async fn read(&self, mut response: Response) -> reqwest::Result<Body> {
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if bytes.len() + chunk.len() > self.max_result_bytes {
                return Ok(Body::TooLarge { limit: self.max_result_bytes });
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(Body::Whole(bytes))
    }
}

impl Handler for Http {
    async fn handle(&self, work: Work<'_>) -> Outcome {
        let response = match self.post(&work).await {
            Ok(response) => response,
            Err(error) => return Outcome::again(format_args!("POST {} failed: {}", self.shown, root(&error))),
        };
        let (status, asked) = (response.status(), asked(&response));
        match self.read(response).await {
            Ok(body) => judge(status, asked, &body),
            Err(error) => Outcome::again(format_args!("the answer ({status}) broke off: {}", root(&error))),
        }
    }
}

fn check(text: &str) -> Result<Url, HandlerError> {
    let url = Url::parse(text).map_err(HandlerError::BadUrl)?;
    match url.scheme() {
        "http" => Ok(url),
        "https" => Err(HandlerError::Https { url: without_secrets(url) }),
        _ => Err(HandlerError::NotHttp),
    }
}

/// Without user, password and query.
fn without_secrets(mut url: Url) -> String {
    // Each fails only for a URL without a host, which has none of them.
    let _ = (url.set_username(""), url.set_password(None));
    url.set_query(None);
    url.to_string()
}

fn headers(work: &Work<'_>) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(5);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert("x-attempt", work.attempt.into());
    // Ids have no control characters; a foreign trace context may.
    if let Ok(id) = HeaderValue::from_bytes(work.request_id.to_string().as_bytes()) {
        headers.insert("idempotency-key", id.clone());
        headers.insert("x-request-id", id);
    }
    if let Some(Ok(traceparent)) = work.traceparent.map(|text| HeaderValue::from_bytes(text.as_bytes())) {
        headers.insert("traceparent", traceparent);
    }
    headers
}

/// The pause that the server asked for, where it makes sense.
fn asked(response: &Response) -> Option<Duration> {
    let header = response.headers().get(RETRY_AFTER).filter(|_| is_for_now(response.status()))?;
    retry_after::read(header.to_str().ok()?, jiff::Timestamp::now())
}

/// The innermost cause: reqwest's own texts repeat the URL and say little.
fn root(error: &reqwest::Error) -> String {
    let mut cause = error.source();
    let mut text = error.to_string();
    while let Some(inner) = cause {
        text = inner.to_string();
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_address_without_its_secrets() {
        let http = Http::new("http://user:s3cret@127.0.0.1:8000/resize?key=s3cret", 1).expect("is an address");
        assert_eq!(http.shown, "http://127.0.0.1:8000/resize");
    }

    #[test]
    fn a_refused_address_keeps_its_secrets() {
        for url in [
            "https://user:s3cret@h/?key=s3cret",
            "http://user:s3cret@h:port/",
            "ftp://user:s3cret@h/",
            "user:s3cret@h:80",
        ] {
            let refusal = Http::new(url, 1).expect_err(url);
            let text = format!("{} {refusal:?}", warren_messaging::error_chain::Chain(&refusal));
            assert!(!text.contains("s3cret"), "{text}");
        }
    }

    #[test]
    fn an_address_that_can_never_work_is_refused_with_the_way_out() {
        let refusal = |url| Http::new(url, 1).expect_err(url).to_string();
        assert!(refusal("https://a/").contains("http://"), "{}", refusal("https://a/"));
        assert!(refusal("ftp://a/").contains("http://"));
        assert!(refusal("localhost:8000").contains("http://"));
        assert!(Http::new("http://127.0.0.1:8000/resize?to=9", 1).is_ok());
    }
}

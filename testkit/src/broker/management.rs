//! Calls to the management API.

use reqwest::{Client, Method, RequestBuilder, StatusCode, Url};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::time::Duration;

/// The management API of a broker. Holds connections of the runtime it was made on.
#[derive(Debug, Clone)]
pub(super) struct Management {
    base: Url,
    client: Client,
}

impl Management {
    pub(super) fn new(base: Url) -> Self {
        let client = Client::builder().timeout(Duration::from_secs(10)).no_proxy().build();
        Self { base, client: client.expect("a client without TLS can be built") }
    }

    /// Makes a virtual host on which `user` may do everything.
    pub(super) async fn create_vhost(&self, name: &str, user: &str) -> Result<(), String> {
        self.put(&["vhosts", name], &json!({})).await?;
        let everything = json!({"configure": ".*", "write": ".*", "read": ".*"});
        self.put(&["permissions", name, user], &everything).await
    }

    pub(super) async fn put(&self, path: &[&str], body: &Value) -> Result<(), String> {
        let answer = send(self.request(Method::PUT, path).json(body)).await?;
        answer.map(drop).ok_or_else(|| format!("PUT {path:?}: 404. Is this the address of a management API?"))
    }

    /// Deletes a virtual host with everything on it.
    pub(super) async fn delete_vhost(&self, name: &str) -> Result<(), String> {
        self.delete(&["vhosts", name]).await
    }

    /// Deletes something, if it is there.
    pub(super) async fn delete(&self, path: &[&str]) -> Result<(), String> {
        send(self.request(Method::DELETE, path)).await.map(drop)
    }

    /// Reads something; `None` if there is no such thing.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &[&str]) -> Result<Option<T>, String> {
        decode(path, send(self.request(Method::GET, path)).await?)
    }

    /// Reads a list of queues past the statistics database, which is a second or more behind (measured: 5 s with
    /// RabbitMQ's defaults, against 50 ms this way).
    pub(super) async fn get_live<T: DeserializeOwned>(&self, path: &[&str]) -> Result<Option<T>, String> {
        let live = [("disable_stats", "true"), ("enable_queue_totals", "true")];
        let mut url = self.url(path);
        url.query_pairs_mut().extend_pairs(live);
        decode(path, send(self.client.get(url)).await?)
    }

    fn request(&self, method: Method, path: &[&str]) -> RequestBuilder {
        self.client.request(method, self.url(path))
    }

    /// Names become one segment each, escaped.
    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        let mut segments = url.path_segments_mut().expect("an http address has a path");
        segments.pop_if_empty().push("api").extend(path);
        drop(segments);
        url
    }
}

fn decode<T: DeserializeOwned>(path: &[&str], body: Option<Value>) -> Result<Option<T>, String> {
    let Some(body) = body else { return Ok(None) };
    serde_json::from_value(body).map(Some).map_err(|error| format!("GET {path:?} has an unexpected form: {error}"))
}

/// The body of the answer (null if it has none); `None` for 404.
async fn send(request: RequestBuilder) -> Result<Option<Value>, String> {
    let response = request.send().await.map_err(|error| format!("the management API does not answer: {error:?}"))?;
    let (status, url) = (response.status(), response.url().path().to_owned());
    let body = response.text().await.map_err(|error| format!("{url}: the answer broke off: {error:?}"))?;
    match status {
        StatusCode::NOT_FOUND => Ok(None),
        _ if status.is_success() => Ok(Some(serde_json::from_str(&body).unwrap_or(Value::Null))),
        _ => Err(format!("{url}: {status}: {body}")),
    }
}

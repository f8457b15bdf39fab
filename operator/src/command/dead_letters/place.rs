//! The web side that is asked: at an address, or through a cluster's API server.

use crate::labels::Side;
use axum::http::{Request, StatusCode, header};
use clap::Args;
use kube::client::Body;
use serde_json::Value;
use std::time::Duration;

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Which web side.
#[derive(Args, Debug)]
#[command(next_help_heading = "Where")]
pub(in crate::command) struct PlaceArguments {
    /// The pipeline in the cluster; its web side is asked through the API server, for which get and create on
    /// services/proxy are needed
    #[arg(value_name = "PIPELINE", conflicts_with = "url")]
    pipeline: Option<String>,

    /// The pipeline's namespace; that of the kubeconfig by default
    #[arg(long, short, value_name = "NAMESPACE", conflicts_with = "url")]
    namespace: Option<String>,

    /// Address of a web side, instead of a pipeline in the cluster: http://127.0.0.1:8080
    #[arg(long, env = "WARREN_URL", value_name = "URL")]
    url: Option<reqwest::Url>,
}

/// Where a web side is.
pub(in crate::command) enum Place {
    Address { http: reqwest::Client, url: reqwest::Url },
    Cluster { client: kube::Client, namespace: String, pipeline: String },
}

/// Why a web side did not do as it was told.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// Neither a pipeline nor an address was given.
    #[error("whose? name a pipeline of the cluster, or give a web side's address with --url")]
    Nowhere,
    /// No cluster is known.
    #[error("no cluster to ask: point KUBECONFIG at its kubeconfig, or give a web side's address with --url")]
    Kubeconfig(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Nobody answers there.
    #[error("{place} does not answer: check the address, and that it runs")]
    NoAnswer {
        /// Where.
        place: String,
        /// What the connection said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It refused, in its own words.
    #[error("{place} answers {status}: {words}")]
    Refused {
        /// Where.
        place: String,
        /// The status.
        status: StatusCode,
        /// What it said, which names the way out.
        words: String,
    },
    /// What it said is nothing that a web side says.
    #[error("{place} answers with something that is no web side's answer: check the address")]
    Strange {
        /// Where.
        place: String,
    },
}

impl PlaceError {
    /// Whether it may work a moment later: the web side is restarted, or its store is away.
    pub(in crate::command) fn may_pass(&self) -> bool {
        match self {
            Self::NoAnswer { .. } => true,
            Self::Refused { status, .. } => status.is_server_error(),
            Self::Nowhere | Self::Kubeconfig(_) | Self::Strange { .. } => false,
        }
    }
}

impl PlaceArguments {
    /// Reads the kubeconfig, if that is needed; asks nobody yet.
    pub(in crate::command) async fn find(&self) -> Result<Place, PlaceError> {
        if let Some(url) = &self.url {
            return Ok(Place::Address { http: reqwest::Client::new(), url: url.clone() });
        }
        let pipeline = self.pipeline.clone().ok_or(PlaceError::Nowhere)?;
        let config = kube::Config::infer().await.map_err(|error| PlaceError::Kubeconfig(error.into()))?;
        let namespace = self.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let client = kube::Client::try_from(config).map_err(|error| PlaceError::Kubeconfig(error.into()))?;
        Ok(Place::Cluster { client, namespace, pipeline })
    }
}

impl Place {
    /// GET.
    pub(in crate::command) async fn get(&self, path: &str) -> Result<Value, PlaceError> {
        self.call(path, None).await
    }

    /// POST.
    pub(in crate::command) async fn post(&self, path: &str, body: &Value) -> Result<Value, PlaceError> {
        self.call(path, Some(body.to_string())).await
    }

    async fn call(&self, path: &str, body: Option<String>) -> Result<Value, PlaceError> {
        let called = match self {
            Self::Address { http, url } => tokio::time::timeout(TIMEOUT, directly(http, url, path, body)).await,
            Self::Cluster { client, namespace, pipeline } => {
                let path = proxied(namespace, pipeline, path);
                tokio::time::timeout(TIMEOUT, through_the_cluster(client, &path, body)).await
            }
        };
        let answered = called.unwrap_or_else(|late| Err(late.into()));
        let (status, bytes) = answered.map_err(|source| PlaceError::NoAnswer { place: self.name(), source })?;
        let answer = serde_json::from_slice::<Value>(&bytes);
        if !status.is_success() {
            let words =
                answer.as_ref().map(words).unwrap_or_else(|_| String::from_utf8_lossy(&bytes).trim().to_owned());
            return Err(PlaceError::Refused { place: self.name(), status, words });
        }
        answer.map_err(|_| PlaceError::Strange { place: self.name() })
    }

    fn name(&self) -> String {
        match self {
            Self::Address { url, .. } => format!("the web side at {}", url.origin().ascii_serialization()),
            Self::Cluster { namespace, pipeline, .. } => format!("the web side of pipeline {namespace}/{pipeline}"),
        }
    }
}

type Answer = Result<(StatusCode, Vec<u8>), Box<dyn std::error::Error + Send + Sync>>;

async fn directly(http: &reqwest::Client, url: &reqwest::Url, path: &str, body: Option<String>) -> Answer {
    let url = url.join(path)?;
    let request = match body {
        Some(body) => http.post(url).header(header::CONTENT_TYPE, "application/json").body(body),
        None => http.get(url),
    };
    let answer = request.send().await?;
    Ok((answer.status(), answer.bytes().await?.to_vec()))
}

async fn through_the_cluster(client: &kube::Client, path: &str, body: Option<String>) -> Answer {
    let request = Request::builder().uri(path).method(if body.is_some() { "POST" } else { "GET" });
    let request = request.header(header::CONTENT_TYPE, "application/json");
    let answer = client.send(request.body(Body::from(body.unwrap_or_default().into_bytes()))?).await?;
    let status = answer.status();
    Ok((status, answer.into_body().collect_bytes().await?.to_vec()))
}

/// The path by which the API server passes a call on to the web side's Service.
fn proxied(namespace: &str, pipeline: &str, path: &str) -> String {
    let service = Side::Web.object_name(pipeline);
    format!("/api/v1/namespaces/{namespace}/services/{service}:http/proxy{path}")
}

/// The `detail` of a web side's refusal, the `message` of the API server's.
fn words(answer: &Value) -> String {
    let said = answer["detail"].as_str().or(answer["message"].as_str());
    said.map_or_else(|| answer.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_api_server_passes_calls_on_to_the_service() {
        let path = proxied("team", "thumbnails", "/api/v1/dead-letters?limit=1");
        assert_eq!(path, "/api/v1/namespaces/team/services/thumbnails-web:http/proxy/api/v1/dead-letters?limit=1");
    }

    #[test]
    fn a_refusal_is_told_in_the_words_of_whoever_refused() {
        assert_eq!(words(&json!({"detail": "no such reason"})), "no such reason");
        assert_eq!(
            words(&json!({"kind": "Status", "message": "services \"a\" not found"})),
            "services \"a\" not found"
        );
    }
}

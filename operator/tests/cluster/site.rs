//! A namespace with an operator that looks after it.

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use std::{path::Path, process::Command, time::Duration};
use tempfile::NamedTempFile;
use tokio::sync::OnceCell;
use warren_testkit::{
    broker::{self, Vhost},
    cluster::{self, Cluster, Namespace},
    eventually, free_port,
    program::Program,
    proxy::Proxy,
};

/// Long enough for a loaded machine to start Pods, short enough to notice a hang.
pub const SOON: Duration = Duration::from_secs(90);
/// What the operator does itself takes seconds.
pub const SECONDS: Duration = Duration::from_secs(20);

/// A namespace, a virtual host that Pods reach, and an operator.
pub struct Site {
    pub namespace: Namespace,
    pub vhost: Vhost,
    /// Between the Pods, the operator and the broker.
    pub network: Proxy,
    pub operator: Program,
    pub health: u16,
}

/// The cluster with the CRD in it, or `None` where there is no cluster.
pub async fn cluster_with_crd() -> Option<Cluster> {
    static INSTALLED: OnceCell<()> = OnceCell::const_new();
    let cluster = cluster::cluster()?;
    let install = async || {
        let crds = concat!(env!("CARGO_MANIFEST_DIR"), "/../crds");
        let arguments = ["apply", "--server-side", "--force-conflicts", "-f", crds];
        cluster.run("kubectl", &arguments, "").await.expect("the CRD is accepted");
        let established = ["wait", "--for=condition=Established", "crd/processingpipelines.warren.dev"];
        cluster.run("kubectl", &established, "").await.expect("the CRD is served");
    };
    INSTALLED.get_or_init(install).await;
    Some(cluster)
}

/// An operator of the namespace, as a process of this machine.
pub fn operator(namespace: &Namespace, health: u16, more: &[&str]) -> Program {
    operator_with(namespace.cluster().kubeconfig(), namespace, health, more)
}

/// The same with a kubeconfig of its own.
pub fn operator_with(kubeconfig: &Path, namespace: &Namespace, health: u16, more: &[&str]) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_warren-operator"));
    command.args(["run", "--watch-namespace", namespace.name(), "--listen", &format!("127.0.0.1:{health}")]);
    command.args(more).env("KUBECONFIG", kubeconfig);
    Program::start(command)
}

/// A network between an operator and the API server, and the kubeconfig that leads through it.
pub async fn kubeconfig_through(namespace: &Namespace) -> (Proxy, NamedTempFile) {
    let told = namespace.kubectl(&["config", "view", "--raw", "--minify", "--flatten", "-o", "json"]).await;
    let mut config: Value = serde_json::from_str(&told.expect("a kubeconfig")).expect("JSON");
    let cluster = &mut config["clusters"][0]["cluster"];
    let server = reqwest::Url::parse(cluster["server"].as_str().expect("an address")).expect("a URL");
    let (host, port) = (server.host_str().expect("a host"), server.port_or_known_default().expect("a port"));
    let network = Proxy::start(format!("{host}:{port}"));
    cluster["tls-server-name"] = json!(host);
    cluster["server"] = json!(format!("https://{}", network.address()));
    let file = NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), config.to_string()).expect("is written");
    (network, file)
}

/// A pipeline; `spec` is merged over the defaults, member by member. One processor stays, unless `spec` says otherwise.
pub fn pipeline(name: &str, spec: Value) -> String {
    let mut whole = json!({"broker": {"secretRef": {"name": "rabbitmq", "key": "url"}},
        "processor": {"handler": {"demo": {"delay": "0s"}}}});
    for (key, value) in spec.as_object().expect("an object") {
        whole[key] = value.clone();
    }
    if whole["processor"]["scaling"].is_null() {
        whole["processor"]["scaling"] = json!({"minReplicas": 1});
    }
    json!({"apiVersion": "warren.dev/v1alpha1", "kind": "ProcessingPipeline", "metadata": {"name": name}, "spec": whole})
        .to_string()
}

pub fn secret(name: &str, values: Value) -> String {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": values}).to_string()
}

impl Site {
    /// A site with the broker's Secret in place; `None` where there is no cluster.
    pub async fn new(label: &str) -> Option<Self> {
        let site = Self::without_secret(label).await?;
        site.apply(&secret("rabbitmq", json!({"url": site.broker_url()}))).await;
        Some(site)
    }

    pub async fn without_secret(label: &str) -> Option<Self> {
        let cluster = cluster_with_crd().await?;
        let (namespace, vhost) = (cluster.namespace(label).await, broker::vhost(label).await);
        let upstream = reqwest::Url::parse(&vhost.url()).expect("a URL");
        let upstream = format!("127.0.0.1:{}", upstream.port().expect("a port of its own"));
        let (network, health) = (cluster::reachable(upstream), free_port());
        let operator = operator(&namespace, health, &["--leader-election=false"]);
        Some(Self { namespace, vhost, network, operator, health })
    }

    /// The broker's address, as Pods and the operator reach it.
    pub fn broker_url(&self) -> String {
        self.network.url(&self.vhost.url())
    }

    pub async fn apply(&self, manifest: &str) {
        self.namespace.apply(manifest).await.unwrap_or_else(|error| panic!("refused: {error}"));
    }

    /// Waits until `Ready` of a pipeline has this reason; its message.
    pub async fn ready_reason(&self, name: &str, reason: &str, deadline: Duration) -> String {
        let what = format!("reason {reason}");
        let wanted = |object: &Value| condition(object, "Ready")["reason"] == reason;
        let object = self.namespace.get_when("pp", name, &what, deadline, wanted).await;
        condition(&object, "Ready")["message"].as_str().unwrap_or_default().to_owned()
    }

    pub async fn ready(&self, name: &str) {
        self.ready_reason(name, "Running", SOON).await;
    }

    /// Waits for an Event about a pipeline; its note.
    pub async fn event(&self, name: &str, reason: &str, deadline: Duration) -> String {
        let selector = format!("involvedObject.name={name},reason={reason}");
        eventually(&format!("an Event {reason}"), deadline, async || {
            let found = self.namespace.kubectl(&["get", "events", "--field-selector", &selector, "-o", "json"]).await?;
            let events: Value = serde_json::from_str(&found).map_err(|error| error.to_string())?;
            events["items"][0]["message"].as_str().map(str::to_owned).ok_or_else(|| "no such Event".to_owned())
        })
        .await
    }

    /// The web Service's address, which this machine reaches as Pods do.
    pub async fn base(&self, name: &str) -> String {
        let service = self.namespace.get("service", &format!("{name}-web")).await.expect("a Service");
        format!("http://{}", service["spec"]["clusterIP"].as_str().expect("an address"))
    }

    /// Submits until accepted: an honest 503 means later.
    pub async fn submit(&self, base: &str, data: Value) -> String {
        self.submit_whole(base, json!({"data": data})).await
    }

    /// The same with the request's whole body.
    pub async fn submit_whole(&self, base: &str, body: Value) -> String {
        eventually("a submit to be accepted", SOON, async || {
            let request = Client::new().post(format!("{base}/api/v1/processData")).json(&body);
            let answer = request.timeout(SECONDS).send().await.map_err(|error| format!("{error:?}"))?;
            if answer.status() != StatusCode::ACCEPTED {
                return Err(format!("{}: {}", answer.status(), answer.text().await.unwrap_or_default()));
            }
            let body: Value = answer.json().await.map_err(|error| error.to_string())?;
            Ok(body["requestId"].as_str().expect("an id").to_owned())
        })
        .await
    }

    /// The record of a request that has ended.
    pub async fn outcome(&self, base: &str, id: &str) -> Value {
        eventually("the request to end", SOON, async || {
            let url = format!("{base}/api/v1/requests/{id}?wait=10s");
            let answer = Client::new().get(url).timeout(SECONDS).send().await.map_err(|error| format!("{error:?}"))?;
            let record: Value = answer.json().await.map_err(|error| error.to_string())?;
            match record["status"].as_str() {
                Some("succeeded" | "failed") => Ok(record),
                _ => Err(record.to_string()),
            }
        })
        .await
    }

    /// A metric of the operator, summed over its samples; `None` if it has none.
    pub async fn metric(&self, name: &str) -> Option<f64> {
        let url = format!("http://127.0.0.1:{}/metrics", self.health);
        // One that was just started does not listen yet.
        let text = eventually("the operator's figures", SECONDS, async || {
            let answer = Client::new().get(&url).send().await.map_err(|error| error.to_string())?;
            answer.text().await.map_err(|error| error.to_string())
        })
        .await;
        let samples = text.lines().filter(|line| line.starts_with(name));
        samples.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).reduce(|sum, value| sum + value)
    }

    /// Kills the operator and starts another.
    pub fn replace_operator(&mut self) {
        self.operator.kill9();
        self.health = free_port();
        self.operator = operator(&self.namespace, self.health, &["--leader-election=false"]);
    }
}

/// A condition of an object's status.
pub fn condition(object: &Value, name: &str) -> Value {
    let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.into_iter().find(|condition| condition["type"] == name).unwrap_or(Value::Null)
}

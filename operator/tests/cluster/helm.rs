//! A release of the chart.

use super::site::{SOON, cluster_with_crd, pipeline};
use serde_json::Value;
use std::time::Duration;
use warren_testkit::{
    cluster::{Cluster, Namespace},
    eventually,
};

const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/warren");
const HELM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../testkit/helm/helm");

/// A release of the chart whose operator looks after one namespace.
pub struct Release {
    /// Where the operator runs.
    pub system: Namespace,
    name: String,
    values: Vec<String>,
}

impl Release {
    /// Installs it and waits until it is ready.
    pub async fn install(cluster: &Cluster, watched: &Namespace) -> Self {
        Self::install_with(cluster, watched, &["crds.install=false", "rbac.aggregate=false"], &[]).await
    }

    async fn install_with(cluster: &Cluster, watched: &Namespace, values: &[&str], more: &[&str]) -> Self {
        let system = cluster.namespace("system").await;
        let own = [format!("watchNamespace={}", watched.name()), "images.pullPolicy=Never".into()];
        let values = own.into_iter().chain(values.iter().map(|value| (*value).to_owned())).collect();
        let release = Self { name: system.name().to_owned(), system, values };
        release.helm(&[&["install", "--wait", "--timeout", "120s"], more].concat(), true).await;
        release
    }

    /// Changes values, and waits until they are rolled out.
    pub async fn upgrade(&self, values: &[&str]) {
        let set: Vec<&str> = values.iter().flat_map(|value| ["--set", value]).collect();
        let arguments = [&["upgrade", "--wait", "--timeout", "120s"], set.as_slice()].concat();
        self.helm(&arguments, true).await;
    }

    /// `helm test`.
    pub async fn test(&self) {
        self.helm(&["test"], false).await;
    }

    /// Uninstalls it and waits until its Pods are gone.
    pub async fn uninstall(&self) {
        self.helm(&["uninstall", "--wait"], false).await;
    }

    /// What all replicas have logged since they were started.
    pub async fn logs(&self) -> String {
        let arguments = ["logs", "-l", "app.kubernetes.io/name=warren", "--tail=-1", "--prefix"];
        self.system.kubectl(&arguments).await.expect("there are logs")
    }

    /// The Pod of the replica that leads.
    pub async fn leader(&self) -> String {
        let look = async || {
            let leases = self.system.kubectl(&["get", "leases", "-o", "json"]).await?;
            let leases: Value = serde_json::from_str(&leases).map_err(|error| error.to_string())?;
            let holder = leases["items"][0]["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned();
            if holder.is_empty() { Err(leases.to_string()) } else { Ok(holder) }
        };
        eventually("a replica to lead", SOON, look).await
    }

    async fn helm(&self, arguments: &[&str], with_chart: bool) -> String {
        let (command, more) = arguments.split_first().expect("a command");
        let mut whole = vec![*command, self.name.as_str()];
        if with_chart {
            whole.push(CHART);
            whole.extend(self.values.iter().flat_map(|value| ["--set", value.as_str()]));
        }
        whole.extend(["--namespace", self.system.name()]);
        whole.extend(more);
        let ran = tokio::time::timeout(Duration::from_secs(300), self.system.cluster().run(HELM, &whole, "")).await;
        ran.expect("helm ends").unwrap_or_else(|error| panic!("helm {}: {error}", whole.join(" ")))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_resource_and_all_pipelines_stay_when_the_release_that_brought_it_goes() {
    let Some(cluster) = cluster_with_crd().await else { return };
    let namespace = cluster.namespace("kept").await;
    // Other tests use the definition, too: it is there already, and the same.
    let release = Release::install_with(&cluster, &namespace, &["replicas=1"], &["--take-ownership"]).await;
    let definition = ["get", "crd", "processingpipelines.warren.dev", "-o", "json"];
    let brought: Value = serde_json::from_str(&namespace.kubectl(&definition).await.expect("is there")).expect("JSON");
    assert_eq!(brought["metadata"]["annotations"]["helm.sh/resource-policy"], "keep");
    namespace.apply(&pipeline("p", serde_json::json!({}))).await.expect("is accepted");
    release.upgrade(&["log.level=warn"]).await;
    release.uninstall().await;
    namespace.kubectl(&definition).await.expect("is there still");
    assert!(namespace.get("pp", "p").await.is_some());
    let roles = cluster.run("kubectl", &["get", "clusterroles", "-o", "name"], "").await.expect("a list");
    assert!(!roles.contains(release.system.name()), "the users' roles go with the release: {roles}");
}

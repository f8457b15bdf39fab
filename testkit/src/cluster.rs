//! A real Kubernetes for tests: one per test run, a namespace per test.
//!
//! `testkit/cluster/up` brings one up here; `WARREN_TEST_KUBECONFIG` names any other. Tests act as users do, through
//! `kubectl`.

use crate::{
    eventually::{eventually, when},
    proxy::Proxy,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use std::{
    env, fs,
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    process::Stdio,
    time::Duration,
};
use tokio::{io::AsyncWriteExt as _, process::Command};
use uuid::Uuid;

/// The environment variable with the kubeconfig of the cluster to test on.
pub const KUBECONFIG: &str = "WARREN_TEST_KUBECONFIG";

/// The environment variable with the address at which Pods reach this machine, if the cluster is not ours.
pub const HOST: &str = "WARREN_TEST_HOST";

/// Where the Pods of our own cluster find this machine: its bridge.
const OWN_HOST: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 88, 0, 1));

/// The cluster of this test run.
#[derive(Clone, Debug)]
pub struct Cluster {
    kubeconfig: PathBuf,
}

/// The cluster of this test run, or `None`, said once per caller, where there is none.
///
/// # Panics
/// In CI, where nothing may be left out.
#[must_use]
pub fn cluster() -> Option<Cluster> {
    let kubeconfig = env::var_os(KUBECONFIG).filter(|path| !path.is_empty());
    assert!(kubeconfig.is_some() || env::var_os("CI").is_none(), "{KUBECONFIG} is not set, and CI leaves nothing out");
    if kubeconfig.is_none() {
        eprintln!("left out: needs a cluster; run `make cluster`, or set {KUBECONFIG}");
    }
    kubeconfig.map(|path| Cluster { kubeconfig: path.into() })
}

/// At which address Pods reach this machine.
///
/// # Panics
/// When the variable holds no address.
#[must_use]
pub fn host() -> IpAddr {
    env::var(HOST).map_or(OWN_HOST, |host| host.parse().unwrap_or_else(|_| panic!("{HOST}={host} is no address")))
}

/// A way for Pods to a server of this machine, which can be cut.
#[must_use]
pub fn reachable(upstream: impl ToString) -> Proxy {
    Proxy::start_at(host(), upstream)
}

impl Cluster {
    /// Where its kubeconfig is.
    #[must_use]
    pub fn kubeconfig(&self) -> &PathBuf {
        &self.kubeconfig
    }

    /// Where its API server notes what Pods ask of it; only of the cluster of `testkit/cluster/up` is that known.
    #[must_use]
    pub fn audit_log(&self) -> Option<PathBuf> {
        let log = self.kubeconfig.with_file_name("audit.log");
        log.exists().then_some(log)
    }

    /// Stops Kubernetes' controllers (SIGSTOP) until what is returned is dropped: they hear nothing and do nothing. Only of
    /// the cluster of `testkit/cluster/up` is their process known. Other tests wait meanwhile: some seconds at most.
    #[must_use]
    pub fn freeze_controllers(&self) -> Option<Frozen> {
        let noted =
            fs::read_to_string(self.kubeconfig.with_file_name("run").join("kube-controller-manager.pid")).ok()?;
        let frozen = Frozen(Pid::from_raw(noted.split_whitespace().next()?.parse().ok()?));
        kill(frozen.0, Signal::SIGSTOP).ok().map(|()| frozen)
    }

    /// Runs a program with the cluster's kubeconfig; what it wrote to standard output, or to standard error when it
    /// failed.
    ///
    /// # Errors
    /// It ended with another status than 0.
    ///
    /// # Panics
    /// When it cannot be started.
    pub async fn run(&self, program: &str, arguments: &[&str], input: &str) -> Result<String, String> {
        let mut command = Command::new(program);
        command.args(arguments).env("KUBECONFIG", &self.kubeconfig).env("PATH", path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{program} does not start: {error}"));
        let mut stdin = child.stdin.take().expect("standard input is piped");
        // A program that does not read its input closes it.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
        let ended = child.wait_with_output().await.expect("a child can be waited for");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if ended.status.success() { Ok(text(&ended.stdout)) } else { Err(text(&ended.stderr)) }
    }

    /// A namespace of a test's own, with Pod Security *restricted*; deleted when dropped.
    ///
    /// # Panics
    /// When the cluster refuses.
    pub async fn namespace(&self, label: &str) -> Namespace {
        let id = Uuid::now_v7().simple().to_string();
        let namespace = Namespace { cluster: self.clone(), name: format!("{label}-{}", &id[26..]) };
        let object = serde_json::json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace.name,
            "labels": {"pod-security.kubernetes.io/enforce": "restricted", "warren-test": "yes"}}});
        namespace.apply(&object.to_string()).await.unwrap_or_else(|error| panic!("no namespace: {error}"));
        namespace
    }
}

/// Kubernetes' controllers, stopped.
#[derive(Debug)]
pub struct Frozen(Pid);

impl Drop for Frozen {
    fn drop(&mut self) {
        let _ = kill(self.0, Signal::SIGCONT);
    }
}

/// The cluster's own tools first: a system's `kubectl` may be too old for it.
fn path() -> String {
    let home = env::var("HOME").unwrap_or_default();
    let cache = env::var("XDG_CACHE_HOME").unwrap_or_else(|_| format!("{home}/.cache"));
    format!("{cache}/warren-cluster/bin:{}", env::var("PATH").unwrap_or_default())
}

/// A namespace of a test's own.
#[derive(Debug)]
pub struct Namespace {
    cluster: Cluster,
    name: String,
}

impl Namespace {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The cluster that it is in.
    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// `kubectl` with these arguments, in this namespace.
    ///
    /// # Errors
    /// What it wrote to standard error.
    pub async fn kubectl(&self, arguments: &[&str]) -> Result<String, String> {
        let arguments = [&["--namespace", &self.name], arguments].concat();
        self.cluster.run("kubectl", &arguments, "").await
    }

    /// `kubectl apply` of a text.
    ///
    /// # Errors
    /// What it wrote to standard error.
    pub async fn apply(&self, manifest: &str) -> Result<String, String> {
        let arguments = ["--namespace", &self.name, "apply", "--server-side", "--force-conflicts", "-f", "-"];
        self.cluster.run("kubectl", &arguments, manifest).await
    }

    /// An object, or `None` if there is none.
    ///
    /// # Panics
    /// When the cluster refuses.
    pub async fn get(&self, kind: &str, name: &str) -> Option<Value> {
        let found = self.kubectl(&["get", kind, name, "--ignore-not-found", "-o", "json"]).await;
        let text = found.unwrap_or_else(|error| panic!("cannot get {kind} {name}: {error}"));
        (!text.trim().is_empty()).then(|| serde_json::from_str(&text).expect("kubectl writes JSON"))
    }

    /// Waits until an object is as wanted. `what` completes the sentence "waited for …".
    ///
    /// # Panics
    /// At the deadline, with the object as last seen.
    pub async fn get_when(
        &self,
        kind: &str,
        name: &str,
        what: &str,
        deadline: Duration,
        is_wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        let look = async || match self.get(kind, name).await {
            Some(object) => when(object, &is_wanted),
            None => Err(format!("no {kind} {name}")),
        };
        eventually(what, deadline, look).await
    }

    /// Waits until there is no such object.
    ///
    /// # Panics
    /// At the deadline.
    pub async fn gone(&self, kind: &str, name: &str, deadline: Duration) {
        eventually(&format!("{kind} {name} to be gone"), deadline, async || self.get(kind, name).await.is_none()).await;
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if std::thread::panicking() && env::var_os("CI").is_none() {
            eprintln!("the namespace {} is left for you to look at", self.name);
            return;
        }
        let mut command = std::process::Command::new("kubectl");
        command.args(["delete", "namespace", &self.name, "--wait=false"]);
        command.env("KUBECONFIG", &self.cluster.kubeconfig).env("PATH", path());
        let _ = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}

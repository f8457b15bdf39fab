//! A web side and a processor as programs of one version or another, on a topology that today's operator declares.

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};
use warren_messaging::{
    duration, link,
    retry::RetryPolicy,
    topology::{QueueType, Topology, declare::declare},
};
use warren_testkit::{
    broker::{Vhost, vhost},
    eventually, free_port, previous,
    program::Program,
};

/// Long enough for a loaded machine, short enough to notice a hang.
pub const SOON: Duration = Duration::from_secs(90);

/// A folder with the programs of one version.
#[derive(Clone)]
pub struct Version(PathBuf);

impl Version {
    pub fn today() -> Self {
        let folder = Path::new(env!("CARGO_BIN_EXE_warren-operator")).parent().expect("a program is in a folder");
        Self(folder.to_owned())
    }

    /// That of the commit before, or `None`, said, where there is none.
    pub fn previous() -> Option<Self> {
        previous::programs().map(Self)
    }

    fn command(&self, program: &str) -> Command {
        let path = self.0.join(program);
        assert!(path.exists(), "{} is missing: run `cargo build --workspace --bins` first", path.display());
        Command::new(path)
    }
}

/// The pipeline `p` on a virtual host of its own, whose retries are quick.
pub struct Pipeline {
    vhost: Vhost,
    topology: Topology,
}

impl Pipeline {
    pub async fn new(label: &str, queue_type: QueueType) -> Self {
        let (initial_delay, max_delay) = (Duration::from_millis(100), Duration::from_millis(200));
        let retry = RetryPolicy { max_attempts: 3, initial_delay, factor: 2, max_delay };
        let (vhost, topology) = (vhost(label).await, Topology { queue_type, retry, ..Topology::named("p") });
        let broker = vhost.url().parse().expect("is an address");
        let connection = link::connect(&broker, "test", link::Frames::Large).await.expect("connects");
        declare(&connection, &topology.plan()).await.expect("is declared");
        Self { vhost, topology }
    }

    fn arguments(&self) -> [String; 3] {
        let (url, kind) = (self.vhost.url(), self.topology.queue_type);
        [format!("--amqp-url={url}"), "--exchange=p".into(), format!("--queue-type={kind}")]
    }

    /// A processor that runs this script in a shell for each request.
    pub fn processor(&self, version: &Version, script: &str) -> Program {
        let retry = &self.topology.retry;
        let mut command = version.command("warren-processor");
        command.args(self.arguments()).arg(format!("--retry-max-attempts={}", retry.max_attempts));
        command.arg(format!("--retry-initial-delay={}", duration::format(retry.initial_delay)));
        command.arg(format!("--retry-factor={}", retry.factor));
        command.arg(format!("--retry-max-delay={}", duration::format(retry.max_delay)));
        command.args(["--concurrency=5", "--handler=exec", "--", "sh", "-c", script]);
        Program::start(command)
    }

    /// A web side with this store, once it is ready.
    pub async fn web(&self, version: &Version, store: &[&str]) -> Web {
        let listen = format!("127.0.0.1:{}", free_port());
        let mut command = version.command("warren-web-service");
        command.args(self.arguments()).args(["--listen", &listen]).args(store);
        let web = Web { program: Program::start(command), base: format!("http://{listen}"), http: Client::new() };
        web.ready().await;
        web
    }
}

/// A web side that runs.
pub struct Web {
    program: Program,
    base: String,
    http: Client,
}

impl Web {
    async fn ready(&self) {
        eventually("the web side to be ready", SOON, async || {
            match self.http.get(format!("{}/readyz", self.base)).send().await {
                Ok(answer) if answer.status() == StatusCode::OK => Ok(()),
                other => Err(format!("{other:?}\n{}", self.program.output())),
            }
        })
        .await;
    }

    /// Submits and returns the id.
    pub async fn submit(&self, data: Value) -> String {
        let request = self.http.post(format!("{}/api/v1/processData", self.base)).json(&json!({ "data": data }));
        let answer = request.send().await.expect("is answered");
        assert_eq!(answer.status(), StatusCode::ACCEPTED, "{:?}", answer.text().await);
        let accepted: Value = answer.json().await.expect("is JSON");
        accepted["requestId"].as_str().expect("is a string").to_owned()
    }

    /// The record of a request once it has ended.
    pub async fn ended(&self, id: &str) -> Value {
        eventually(&format!("request {id} to end"), SOON, async || {
            let url = format!("{}/api/v1/requests/{id}?wait=10s", self.base);
            let answer = self.http.get(url).send().await.map_err(|error| error.to_string())?;
            let record: Value = answer.json().await.map_err(|error| error.to_string())?;
            if record["finishedAt"].is_string() { Ok(record) } else { Err(record.to_string()) }
        })
        .await
    }

    /// SIGTERM, and waits for its end.
    pub async fn end(mut self) {
        self.program.terminate();
        let status = self.program.wait(SOON).await;
        assert!(status.success(), "{status}: {}", self.program.output());
    }
}

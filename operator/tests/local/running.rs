//! A `local` that runs.

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};
use tempfile::TempDir;
use warren_testkit::{eventually, free_port, program::Program};

/// Long enough for a loaded machine to start a broker, short enough to notice a hang.
pub const SOON: Duration = Duration::from_secs(60);

/// A pipeline file's text: the pipeline `name` with the given handler and further processor fields.
pub fn pipeline(name: &str, processor: Value) -> String {
    json!({
        "apiVersion": "warren.dev/v1alpha1",
        "kind": "ProcessingPipeline",
        "metadata": {"name": name},
        "spec": {"broker": {"secretRef": {"name": "rabbitmq", "key": "url"}}, "processor": processor},
    })
    .to_string()
}

/// The program, with the pipeline file and the working directory in `directory`.
pub fn command(directory: &Path, amqp_url: Option<&str>, port: u16) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_warren-operator"));
    command.arg("local").arg(file(directory)).arg("--directory").arg(directory.join("state"));
    command.args(["--port", &port.to_string()]).env_remove("AMQP_URL").env_remove("CLOUDAMQP_URL");
    if let Some(url) = amqp_url {
        command.env("AMQP_URL", url);
    }
    command
}

pub fn file(directory: &Path) -> PathBuf {
    directory.join("pipeline.yaml")
}

pub struct Local {
    pub program: Program,
    pub http: Client,
    pub directory: TempDir,
}

impl Local {
    pub async fn start(text: &str, amqp_url: Option<&str>) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(file(directory.path()), text).expect("is written");
        Self::start_in(directory, amqp_url).await
    }

    pub async fn start_in(directory: TempDir, amqp_url: Option<&str>) -> Self {
        let command = command(directory.path(), amqp_url, free_port());
        Self::start_as(command, directory).await
    }

    /// With a command of the test's own, in its directory.
    pub async fn start_as(command: Command, directory: TempDir) -> Self {
        for worker in ["warren-web-service", "warren-processor"] {
            let beside = Path::new(env!("CARGO_BIN_EXE_warren-operator")).with_file_name(worker);
            assert!(beside.exists(), "{} is missing: run `cargo build --workspace --bins` first", beside.display());
        }
        let mut program = Program::start(command);
        program.wait_for_line("Ctrl-C ends it", SOON).await;
        Self { program, http: Client::new(), directory }
    }

    /// Where a pipeline answers, once it does.
    pub async fn base(&mut self, name: &str) -> String {
        let line = self.program.wait_for_line(&format!("pipeline `{name}` runs at"), SOON).await;
        let base = line.split_once("runs at ").and_then(|(_, rest)| rest.split_once(". ")).expect("an address").0;
        eventually("the pipeline to be ready", SOON, async || {
            match self.http.get(format!("{base}/readyz")).send().await {
                Ok(answer) if answer.status() == StatusCode::OK => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
        base.to_owned()
    }

    /// Submits; `None` where that is refused for now.
    pub async fn try_submit(&self, base: &str, data: Value) -> Option<String> {
        let request = self.http.post(format!("{base}/api/v1/processData")).json(&json!({ "data": data }));
        let answer = request.timeout(Duration::from_secs(20)).send().await.ok()?;
        if answer.status() != StatusCode::ACCEPTED {
            assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE, "{:?}", answer.text().await);
            return None;
        }
        let accepted: Value = answer.json().await.ok()?;
        accepted["requestId"].as_str().map(str::to_owned)
    }

    pub async fn submit(&self, base: &str, data: Value) -> String {
        eventually("a submit", SOON, async || self.try_submit(base, data.clone()).await).await
    }

    /// The record once it has this status.
    pub async fn record_when(&self, base: &str, id: &str, status: &str) -> Value {
        eventually(&format!("request {id} to be {status}"), SOON, async || {
            let record = self.get(base, &format!("/api/v1/requests/{id}")).await?;
            if record["status"] == status { Ok(record) } else { Err(record.to_string()) }
        })
        .await
    }

    pub async fn get(&self, base: &str, path: &str) -> Result<Value, String> {
        let answer = self.http.get(format!("{base}{path}")).timeout(SOON).send().await;
        answer.map_err(|error| error.to_string())?.json().await.map_err(|error| error.to_string())
    }

    /// Ids of the processes of a program that `local` has started and that run.
    pub fn pids(&self, program: &str) -> Vec<i32> {
        let noted = std::fs::read_to_string(self.directory.path().join("state/processes")).unwrap_or_default();
        let pids = noted.lines().filter_map(|line| line.split(' ').next()?.parse().ok());
        pids.filter(|pid| runs(*pid, program)).collect()
    }

    pub fn kill9(&self, program: &str) {
        let pids = self.pids(program);
        assert!(!pids.is_empty(), "no {program} runs");
        for pid in pids {
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::SIGKILL).expect("is killed");
        }
    }

    /// Ctrl-C; gives the directory back once it has ended.
    pub async fn end(mut self) -> TempDir {
        self.program.signal(nix::sys::signal::SIGINT);
        let status = self.program.wait(SOON).await;
        assert!(status.success(), "{status}: {}", self.program.output());
        self.directory
    }
}

fn runs(pid: i32, program: &str) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    !status.contains(") Z ") && String::from_utf8_lossy(&command).contains(program)
}

//! `warren-operator local` with one pipeline: the thing under test.

use crate::{api::Api, options::Options, processes, store::Store};
use anyhow::{Context as _, bail, ensure};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

/// The pipeline's name, and its exchange's.
pub const PIPELINE: &str = "chaos";
/// Requests that a processor works on at a time.
pub const CONCURRENCY: usize = 8;
/// Processors.
pub const PROCESSORS: usize = 2;
/// Attempts a request may have.
pub const MAX_ATTEMPTS: u32 = 30;
/// How long it may take to start or to end.
const PATIENCE: Duration = Duration::from_secs(90);
const LOOK: Duration = Duration::from_millis(50);

/// The running program. Ended in order when dropped, so that nothing of it is left.
#[derive(Debug)]
pub struct Local {
    child: Child,
    log: PathBuf,
    /// Where its API answers.
    pub api: Api,
}

/// The pipeline.
#[must_use]
pub fn pipeline(options: &Options, store: &Store, handler: &Path, attempts: &Path) -> Value {
    let mode = options.handler.mode();
    let command = [handler.to_string_lossy().as_ref(), mode, attempts.to_string_lossy().as_ref()].map(str::to_owned);
    let handler = match mode {
        "http" => json!({"http": {"image": "none", "port": 8000, "path": "/", "command": command}}),
        _ => json!({"exec": {"image": "none", "mode": "Stream", "command": command}}),
    };
    json!({
        "apiVersion": "warren.dev/v1alpha1",
        "kind": "ProcessingPipeline",
        "metadata": {"name": PIPELINE},
        "spec": {
            "broker": {"secretRef": {"name": "rabbitmq", "key": "url"}},
            "topology": {"queueType": options.queue_type.to_string()},
            "web": store.spec(),
            "processor": {
                "handler": handler,
                "concurrency": CONCURRENCY,
                "timeout": "30s",
                "retry": {"maxAttempts": MAX_ATTEMPTS, "initialDelay": "200ms", "factor": 2, "maxDelay": "2s"},
                "scaling": {"minReplicas": PROCESSORS, "maxReplicas": PROCESSORS},
            },
        },
    })
}

impl Local {
    /// Starts it in `directory` and waits until it is ready.
    pub async fn start(options: &Options, store: &Store, directory: &Path, amqp_url: &str) -> anyhow::Result<Self> {
        let programs = programs()?;
        let attempts = directory.join("attempts");
        let pipeline = pipeline(options, store, &programs.join("warren-chaos-handler"), &attempts);
        let (file, log) = (directory.join("pipeline.yaml"), directory.join("local.log"));
        let objects: Vec<String> = [Some(pipeline), store.secret()].iter().flatten().map(Value::to_string).collect();
        fs::write(&file, objects.join("\n---\n"))?;
        let output = File::create(&log)?;
        let mut command = Command::new(programs.join("warren-operator"));
        command.arg("local").arg(&file).arg("--directory").arg(directory.join("state"));
        command.args(["--port", &warren_testkit::free_port().to_string()]);
        command.env("AMQP_URL", amqp_url).env_remove("CLOUDAMQP_URL");
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let mut child = command.spawn().context("warren-operator does not start")?;
        let base = base(&mut child, &log).await?;
        let local = Self { child, log, api: Api::new(&base)? };
        local.wait_until_ready(store.replicas()).await?;
        Ok(local)
    }

    async fn wait_until_ready(&self, web_replicas: usize) -> anyhow::Result<()> {
        let begun = Instant::now();
        let runs = || self.processors().len() >= PROCESSORS && self.web().len() >= web_replicas;
        while !self.api.is_ready().await || !runs() {
            ensure!(begun.elapsed() < PATIENCE, "the pipeline is not ready after {PATIENCE:?}");
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// The web service's processes.
    #[must_use]
    pub fn web(&self) -> Vec<u32> {
        self.running("warren-web-service")
    }

    /// The processors.
    #[must_use]
    pub fn processors(&self) -> Vec<u32> {
        self.running("warren-processor")
    }

    /// The handlers.
    #[must_use]
    pub fn handlers(&self) -> Vec<u32> {
        self.running("warren-chaos-handler")
    }

    /// The program itself.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    fn running(&self, program: &str) -> Vec<u32> {
        processes::below(self.child.id(), program)
    }

    /// How long its log is.
    #[must_use]
    pub fn said(&self) -> u64 {
        fs::metadata(&self.log).map_or(0, |log| log.len())
    }

    /// Whether a line since then contains this.
    #[must_use]
    pub fn has_said(&self, text: &str, since: u64) -> bool {
        let log = fs::read(&self.log).unwrap_or_default();
        let new = log.get(usize::try_from(since).unwrap_or(0)..).unwrap_or_default();
        String::from_utf8_lossy(new).contains(text)
    }

    /// Asks it to end, and waits for that.
    ///
    /// # Errors
    /// It does not end, or not in order.
    pub async fn end(&mut self) -> anyhow::Result<()> {
        processes::signal(self.child.id(), Signal::SIGTERM);
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return if status.success() { Ok(()) } else { bail!("local ended with {status}") };
            }
            ensure!(begun.elapsed() < PATIENCE, "local did not end within {PATIENCE:?}");
            tokio::time::sleep(LOOK).await;
        }
    }

    fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        if self.exited().is_some() {
            return;
        }
        // Twice means at once; its children are ended either way.
        let family = [self.web(), self.processors(), self.handlers()].concat();
        for pid in family {
            processes::signal(pid, Signal::SIGCONT);
        }
        for _ in 0..2 {
            processes::signal(self.child.id(), Signal::SIGTERM);
            std::thread::sleep(LOOK);
        }
        let _ = self.child.wait();
    }
}

/// Where the programs are: beside this one.
fn programs() -> anyhow::Result<PathBuf> {
    let this = std::env::current_exe()?;
    let folder = this.parent().context("this program is in no folder")?;
    for program in ["warren-operator", "warren-web-service", "warren-processor", "warren-chaos-handler"] {
        ensure!(folder.join(program).is_file(), "{program} is not in {}: run `make build` first", folder.display());
    }
    Ok(folder.to_owned())
}

/// The address that its log names.
async fn base(child: &mut Child, log: &Path) -> anyhow::Result<String> {
    let begun = Instant::now();
    loop {
        let text = fs::read_to_string(log).unwrap_or_default();
        if let Some((_, rest)) = text.split_once(&format!("pipeline `{PIPELINE}` runs at "))
            && let Some((base, _)) = rest.split_once(". ")
        {
            return Ok(base.to_owned());
        }
        if let Some(status) = child.try_wait()? {
            bail!("local ended with {status}:\n{text}");
        }
        ensure!(begun.elapsed() < PATIENCE, "local is not up after {PATIENCE:?}:\n{text}");
        tokio::time::sleep(LOOK).await;
    }
}

//! Workers to test: within this process, or as the program that is shipped.

use crate::pipeline::{DEADLINE, Pipeline};
use clap::Parser;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::process::ExitStatus;
use tokio::{process, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;
use warren_messaging::duration;
use warren_processor::{Handler, RunError, WorkerSettings, run_until};

#[derive(Parser)]
struct Options {
    #[command(flatten)]
    worker: WorkerSettings,
}

/// The options by which a worker finds a pipeline.
fn options(pipeline: &Pipeline) -> Vec<String> {
    let retry = &pipeline.topology.retry;
    vec![
        format!("--amqp-url={}", pipeline.url),
        format!("--exchange={}", pipeline.topology.exchange),
        format!("--queue-type={}", pipeline.topology.queue_type),
        format!("--retry-max-attempts={}", retry.max_attempts),
        format!("--retry-initial-delay={}", duration::format(retry.initial_delay)),
        format!("--retry-factor={}", retry.factor),
        format!("--retry-max-delay={}", duration::format(retry.max_delay)),
    ]
}

/// A worker within this process, with a handler of the test's.
pub struct Embedded {
    stop: CancellationToken,
    running: JoinHandle<Result<(), RunError>>,
}

impl Embedded {
    pub fn start(pipeline: &Pipeline, handler: impl Handler, more: &[&str]) -> Self {
        let stop = CancellationToken::new();
        let arguments = ["worker".to_owned()].into_iter().chain(options(pipeline));
        let arguments = arguments.chain(more.iter().map(|option| (*option).to_owned()));
        let settings = Options::try_parse_from(arguments).expect("the options are good").worker;
        let running = tokio::spawn(run_until(settings, handler, stop.clone()));
        Self { stop, running }
    }

    /// Asks it to stop, and waits until it has.
    pub async fn stop(self) {
        self.stop.cancel();
        let ended = timeout(DEADLINE, self.running).await.expect("stops in time");
        ended.expect("does not panic").expect("ends well");
    }

    pub fn runs(&self) -> bool {
        !self.running.is_finished()
    }
}

/// The program that is shipped; killed when dropped.
pub struct Shipped(process::Child);

impl Shipped {
    pub fn start(pipeline: &Pipeline, more: &[&str]) -> Self {
        let mut command = process::Command::new(env!("CARGO_BIN_EXE_warren-processor"));
        command.args(options(pipeline)).args(more).kill_on_drop(true);
        Self(command.spawn().expect("the program starts"))
    }

    pub fn signal(&self, signal: Signal) {
        let id = self.0.id().and_then(|id| i32::try_from(id).ok()).expect("it runs");
        kill(Pid::from_raw(id), signal).expect("it can be signalled");
    }

    pub async fn ended(&mut self) -> ExitStatus {
        timeout(DEADLINE, self.0.wait()).await.expect("ends in time").expect("can be waited for")
    }
}

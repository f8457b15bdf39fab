//! Workers to test: within this process, or as the program that is shipped.

use crate::pipeline::{DEADLINE, Pipeline};
use clap::Parser;
use std::process::Command;
use tokio::{task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;
use warren_messaging::duration;
use warren_processor::{Handler, RunError, WorkerSettings, run_until};
use warren_testkit::program::Program;

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
pub fn shipped(pipeline: &Pipeline, more: &[&str]) -> Program {
    Program::start(command(pipeline, more))
}

/// How the program that is shipped is started.
pub fn command(pipeline: &Pipeline, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_warren-processor"));
    command.args(options(pipeline)).args(more);
    command
}

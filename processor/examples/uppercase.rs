//! A worker of your own: turns each text into upper case.
//!
//! `cargo run -p warren-processor --example uppercase -- --amqp-url amqp://localhost:5672 --exchange texts`

use clap::Parser;
use warren_processor::{Handler, LogSettings, Outcome, Work, WorkerSettings};

#[derive(Parser)]
struct Options {
    #[command(flatten)]
    worker: WorkerSettings,
    #[command(flatten)]
    log: LogSettings,
}

struct Uppercase;

impl Handler for Uppercase {
    async fn handle(&self, work: Work<'_>) -> Outcome {
        match work.parse::<String>() {
            Ok(text) => Outcome::done(&text.to_uppercase()),
            Err(error) => Outcome::never(format_args!("only texts have an upper case: {error}")),
        }
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    options.log.start()?;
    Ok(warren_processor::run(options.worker, Uppercase).await?)
}

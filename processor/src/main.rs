//! `warren-processor`: takes requests from a pipeline's queue and has them worked on by a command, an HTTP server
//! or the demo.

use clap::{Parser, Subcommand};
use std::path::PathBuf;
use warren_processor::{LogSettings, WorkerSettings, handler_settings::HandlerSettings, install::install};

/// Takes requests from a pipeline's queue, has each worked on, and publishes the outcome
#[derive(Parser)]
#[command(version, max_term_width = 110, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct Options {
    #[command(flatten)]
    handler: HandlerSettings,
    #[command(flatten)]
    worker: WorkerSettings,
    #[command(flatten)]
    log: LogSettings,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Copy this program to a file or folder, executable, and end: for an init container
    Install {
        /// Where to
        path: PathBuf,
    },
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    if let Some(Command::Install { path }) = options.command {
        let installed = install(&path)?;
        println!("installed {}", installed.display());
        return Ok(());
    }
    options.log.start()?;
    let handler = options.handler.build()?;
    run(options.worker, handler)
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn run(settings: WorkerSettings, handler: impl warren_processor::Handler) -> anyhow::Result<()> {
    Ok(warren_processor::run(settings, handler).await?)
}

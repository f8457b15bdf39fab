//! `warren-operator`: the command line.

use clap::{Parser, Subcommand};
use std::{error::Error, process::ExitCode};
use warren_messaging::{error_chain::Chain, logging::LogSettings};
use warren_operator::{
    command::{crd, dead_letters, journal, probe, render, run},
    local,
};

/// Durable HTTP work queues on RabbitMQ, from one ProcessingPipeline each.
#[derive(Parser)]
#[command(name = "warren-operator", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,

    #[command(flatten)]
    log: LogSettings,
}

#[derive(Subcommand)]
enum Command {
    /// Print the CustomResourceDefinition, to be installed with kubectl apply --server-side
    Crd(crd::CrdArguments),
    /// Check pipeline files and print the Kubernetes objects that they would get
    Render(render::RenderArguments),
    /// Run the controller: keep every ProcessingPipeline of a cluster as its spec says
    Run(run::RunArguments),
    /// Run a pipeline file on this machine, without a cluster
    Local(local::LocalSettings),
    /// List requests that were given up, and put them back on the queue
    DeadLetters(dead_letters::DeadLettersArguments),
    /// Run what was sent within some time again, from the journal of a pipeline that keeps one
    Journal(journal::JournalArguments),
    /// Ask an HTTP address once; the exit status tells whether it answered well
    Probe(probe::ProbeArguments),
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    match execute(cli).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", Chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

async fn execute(cli: Cli) -> Result<(), Box<dyn Error>> {
    match cli.command {
        Command::Crd(arguments) => {
            cli.log.start()?;
            crd::run(&arguments)?;
        }
        Command::Render(arguments) => {
            cli.log.start()?;
            render::run(&arguments)?;
        }
        Command::Run(arguments) => {
            cli.log.start()?;
            run::run(arguments).await?;
        }
        Command::DeadLetters(arguments) => {
            cli.log.start()?;
            dead_letters::run(arguments).await?;
        }
        Command::Journal(arguments) => {
            cli.log.start()?;
            journal::run(arguments).await?;
        }
        Command::Probe(arguments) => {
            cli.log.start()?;
            probe::run(arguments).await?;
        }
        // Starts logging itself: its lines go past the panel.
        Command::Local(settings) => local::run(settings, &cli.log).await?,
    }
    Ok(())
}

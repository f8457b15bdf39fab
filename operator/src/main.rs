//! `warren-operator`: the command line.

use clap::{Parser, Subcommand};
use std::{error::Error, process::ExitCode};
use warren_messaging::{error_chain::Chain, logging::LogSettings};
use warren_operator::{
    command::{crd, render},
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
    /// Run a pipeline file on this machine, without a cluster
    Local(local::LocalSettings),
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", Chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> Result<(), Box<dyn Error>> {
    match cli.command {
        Command::Crd(arguments) => {
            cli.log.start()?;
            crd::run(&arguments)?;
        }
        Command::Render(arguments) => {
            cli.log.start()?;
            render::run(&arguments)?;
        }
        // Starts logging itself: its lines go past the panel.
        Command::Local(settings) => local::run(settings, &cli.log).await?,
    }
    Ok(())
}

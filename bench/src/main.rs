//! `warren-bench`: measures Warren's web side and processor beside a bare RabbitMQ client, on this machine, now.

mod bare_publisher;
mod bare_worker;
mod broker;
mod http_lane;
mod load;
mod machine;
mod options;
mod outcome;
mod processing;
mod program;
mod progress;
mod report;
mod sample;
mod spread;
mod submits;
mod usage;

use anyhow::{Context as _, bail};
use broker::Broker;
use clap::Parser as _;
use machine::Machine;
use options::Options;
use report::Report;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let mut terminate = signal(SignalKind::terminate())?;
    // Not the signals' default end: dropped, the measurement ends its processes and removes its directory.
    let report = tokio::select! {
        report = measure(&options) => report?,
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
        _ = terminate.recv() => bail!("terminated"),
    };
    println!("{report}");
    if let Some(file) = &options.markdown {
        let page = report.page(options.seconds, options.rounds);
        std::fs::write(file, page).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

async fn measure(options: &Options) -> anyhow::Result<Report> {
    let scratch = tempfile::tempdir().context("cannot make a temporary directory")?;
    let broker = Broker::start(scratch.path()).await?;
    let machine = Machine::look(&broker)?;
    let (submits, web_memory) = submits::measure(&broker, scratch.path(), options).await?;
    let (processing, processor_memory) = processing::measure(&broker, scratch.path(), options).await?;
    Ok(Report { machine, submits, web_memory, processing, processor_memory })
}

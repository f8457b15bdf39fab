//! `warren-chaos`: see `--help`.

use anyhow::{Context as _, bail};
use clap::Parser as _;
use std::path::{Path, PathBuf};
use tokio::signal::unix::{SignalKind, signal};
use warren_chaos::{campaign, options::Options, report::Report, schedule, store};

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    if options.schedule {
        let faults = schedule::draw(options.seed, options.faults, &options.kinds(|kind| options.store.can(kind)));
        faults.iter().for_each(|fault| println!("{fault}"));
        return Ok(());
    }
    // Before there is a second thread: mounts belong to a thread.
    store::unshare()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(&options))
}

async fn run(options: &Options) -> anyhow::Result<()> {
    let directory = tempfile::Builder::new().prefix("warren-chaos-").tempdir()?;
    let place = options.directory.clone().unwrap_or_else(|| directory.path().to_owned());
    std::fs::create_dir_all(&place)?;
    let place = place.canonicalize()?;
    println!("everything is in {}", place.display());
    let mut terminate = signal(SignalKind::terminate())?;
    // Not the signals' default end: dropped, the campaign ends its processes.
    let report = tokio::select! {
        report = campaign::run(options, &place) => report,
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
        _ = terminate.recv() => bail!("terminated"),
    };
    let failed = report.as_ref().map_or(true, |report| !report.violations.is_empty());
    if failed {
        keep(directory, &place, options);
    }
    conclude(report, &place)
}

fn conclude(report: anyhow::Result<Report>, place: &Path) -> anyhow::Result<()> {
    let report = report.with_context(|| format!("the campaign broke off; see {}", place.display()))?;
    println!("{report}");
    let _ = std::fs::write(place.join("report"), report.to_string());
    match report.violations.len() {
        0 => Ok(()),
        count => bail!("{count} violations; everything is kept in {}", place.display()),
    }
}

fn keep(directory: tempfile::TempDir, place: &Path, options: &Options) {
    let kept: PathBuf = directory.keep();
    if kept != place {
        let _ = std::fs::remove_dir(kept);
    }
    println!("kept: {}; again: {}", place.display(), options.again());
}

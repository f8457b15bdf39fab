//! `warren-bench-scaling`: simulates loads under Warren's scaling rules and under others, and writes what came of it.

mod cluster;
mod contender;
mod options;
mod oracle;
mod pages;
mod plot;
mod record;
mod scaler;
mod summary;
mod table;
mod trace;
mod validation;
mod world;

use anyhow::Context as _;
use clap::Parser as _;
use cluster::{Cluster, LARGE, SMALL_NODE};
use contender::Contest;
use options::Options;
use std::{fs, path::Path};
use trace::KINDS;

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let hold =
        |cluster: Cluster| -> Vec<_> { KINDS.iter().map(|kind| Contest::hold(kind, cluster, options.seeds)).collect() };
    let (large, small) = (hold(LARGE), hold(SMALL_NODE));
    let page = pages::figures(&large, &small, options.seeds);
    println!("{page}");
    if let Some(file) = &options.markdown {
        write(file, &page)?;
    }
    if let Some(file) = &options.guide {
        write(file, &pages::guide(&large, options.seeds))?;
    }
    if let Some(directory) = &options.plots {
        fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
        for contest in &large {
            write(&directory.join(plot::file_name(contest.kind.name)), &plot::svg(contest))?;
        }
    }
    Ok(())
}

fn write(file: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}

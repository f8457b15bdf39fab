//! The command line.

use clap::Parser;
use std::path::PathBuf;

/// Simulates loads under Warren's scaling rules, under KEDA, and under an oracle
#[derive(Debug, Parser)]
#[command(version)]
pub struct Options {
    /// How often each load is drawn anew
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub seeds: u32,

    /// Also write all figures to this file, as a page of its own
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<PathBuf>,

    /// Also write the user's guide to this file, with the main figures
    #[arg(long, value_name = "FILE")]
    pub guide: Option<PathBuf>,

    /// Also draw each load into this directory, as SVG
    #[arg(long, value_name = "DIRECTORY")]
    pub plots: Option<PathBuf>,
}

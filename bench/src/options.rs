//! The command line.

use clap::Parser;
use std::{path::PathBuf, time::Duration};

/// Measures warren-web-service and warren-processor beside a bare RabbitMQ client
#[derive(Debug, Parser)]
#[command(version)]
pub struct Options {
    /// How long each single measurement takes, without its warm-up
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=600))]
    pub seconds: u64,

    /// How often each measurement is repeated; medians are reported
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub rounds: u32,

    /// Client connections to measure submits at; none with an empty text
    #[arg(long, default_value = "1,16,64,256", value_name = "N,…", value_parser = numbers)]
    pub connections: Numbers,

    /// Concurrencies to measure processing at; none with an empty text
    #[arg(long, default_value = "1,16,256", value_name = "N,…", value_parser = numbers)]
    pub concurrencies: Numbers,

    /// Also write the result to this file, as a page of its own
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<PathBuf>,
}

/// Numbers separated by commas.
#[derive(Clone, Debug)]
pub struct Numbers(pub Vec<u16>);

impl Options {
    /// How long each single measurement takes.
    pub fn window(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

fn numbers(text: &str) -> Result<Numbers, String> {
    let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
    let numbers = words.map(|word| word.parse().ok().filter(|number| (1..=1000).contains(number)));
    let numbers: Option<Vec<u16>> = numbers.collect();
    numbers.map(Numbers).ok_or_else(|| "write numbers from 1 to 1000, separated by commas".into())
}

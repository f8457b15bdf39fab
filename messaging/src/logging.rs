//! Structured logs: coloured lines where a person reads along, JSON where a machine does.

use clap::{Args, ValueEnum};
use std::io::IsTerminal as _;
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

/// Environment variable of the log format.
pub const LOG_FORMAT: &str = "WARREN_LOG_FORMAT";
/// Environment variable of the log filter.
pub const LOG: &str = "WARREN_LOG";

/// How and what to log.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Logging")]
pub struct LogSettings {
    /// Which log lines to write, for example `info` or `warn,warren_processor=debug`
    #[arg(long, env = LOG, default_value = "info", value_name = "FILTER", global = true)]
    log: String,

    /// How to write them
    #[arg(long, env = LOG_FORMAT, default_value = "auto", value_name = "FORMAT", global = true)]
    log_format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum LogFormat {
    /// `pretty` on a terminal, `json` otherwise
    Auto,
    /// One line each, for people
    Pretty,
    /// One JSON object each, for machines
    Json,
}

/// A log filter that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("`{filter}` is no log filter: write a level such as info, or target=level pairs with commas")]
pub struct BadFilter {
    filter: String,
    source: tracing_subscriber::filter::ParseError,
}

impl LogSettings {
    /// Starts logging to standard error. Call once, first in `main`.
    ///
    /// # Errors
    /// The filter cannot be read.
    pub fn start(&self) -> Result<(), BadFilter> {
        self.start_to(std::io::stderr, std::io::stderr().is_terminal())
    }

    /// Starts logging to `writer`, which is a `terminal` or not.
    ///
    /// # Errors
    /// The filter cannot be read.
    pub fn start_to<W>(&self, writer: W, terminal: bool) -> Result<(), BadFilter>
    where
        W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
    {
        let filter = EnvFilter::try_new(&self.log).map_err(|source| BadFilter { filter: self.log.clone(), source })?;
        let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
        match self.log_format {
            LogFormat::Json => lines.json().flatten_event(true).init(),
            LogFormat::Auto if !terminal => lines.json().flatten_event(true).init(),
            LogFormat::Auto | LogFormat::Pretty => lines.with_ansi(terminal).with_target(false).compact().init(),
        }
        Ok(())
    }
}

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
        let terminal = std::io::stderr().is_terminal();
        let lines = tracing_subscriber::fmt().with_env_filter(self.filter()?).with_writer(std::io::stderr);
        match self.log_format {
            LogFormat::Json => lines.json().flatten_event(true).init(),
            LogFormat::Auto if !terminal => lines.json().flatten_event(true).init(),
            LogFormat::Auto | LogFormat::Pretty => lines.with_ansi(terminal).with_target(false).compact().init(),
        }
        Ok(())
    }

    /// Starts logging plain lines for people to `writer`, whatever the format.
    ///
    /// # Errors
    /// The filter cannot be read.
    pub fn start_plain<W>(&self, writer: W) -> Result<(), BadFilter>
    where
        W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
    {
        let lines = tracing_subscriber::fmt().with_env_filter(self.filter()?).with_writer(writer);
        lines.with_ansi(false).with_target(false).compact().init();
        Ok(())
    }

    /// lapin logs each closed channel as an error of its own, a missing queue that was asked for included. What
    /// matters of that comes back to us as errors and is logged where it is handled. A filter can still name it.
    fn filter(&self) -> Result<EnvFilter, BadFilter> {
        EnvFilter::try_new(format!("lapin=off,{}", self.log))
            .map_err(|source| BadFilter { filter: self.log.clone(), source })
    }
}

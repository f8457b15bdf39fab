//! Options of a worker, whatever its handler.

use crate::Listen;
use clap::Args;
use std::time::Duration;
use warren_messaging::{
    duration,
    settings::{BrokerSettings, RetrySettings},
    topology::Topology,
};

/// Environment variable of the address for health and metrics.
pub const LISTEN: &str = "WARREN_LISTEN";
/// Environment variable of the number of requests in work at once.
pub const CONCURRENCY: &str = "WARREN_CONCURRENCY";
/// Environment variable of the time that one attempt may take.
pub const TIMEOUT: &str = "WARREN_TIMEOUT";

/// How to run a worker: flatten it into your own clap options.
#[derive(Args, Debug)]
pub struct WorkerSettings {
    /// RabbitMQ and the pipeline.
    #[command(flatten)]
    pub broker: BrokerSettings,

    /// When a request that failed for now is tried again.
    #[command(flatten)]
    pub retry: RetrySettings,

    /// Requests in work at once; as many are fetched from the queue, never more
    #[arg(long, env = CONCURRENCY, default_value_t = 1, value_name = "N", help_heading = "Work",
          value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub concurrency: u16,

    /// How long one attempt may take; then it is ended and counts as failed for now. Keep it below the broker's
    /// consumer timeout, 30m unless its owner changed that
    #[arg(long, env = TIMEOUT, default_value = "5m", value_name = "DURATION", help_heading = "Work",
          value_parser = timeout)]
    pub timeout: Duration,

    /// Serve /healthz, /readyz and /metrics at this address (0.0.0.0:8081), or off
    #[arg(long, env = LISTEN, default_value = "off", value_name = "ADDRESS", help_heading = "Health")]
    pub listen: Listen,
}

impl WorkerSettings {
    /// The topology to work on, retry tiers included.
    #[must_use]
    pub fn topology(&self) -> Topology {
        Topology { retry: self.retry.policy(), ..self.broker.topology() }
    }
}

fn timeout(text: &str) -> Result<Duration, String> {
    match duration::parse(text) {
        Ok(Duration::ZERO) => Err("no attempt can end within 0s: give it some time, such as 5m".into()),
        Ok(timeout) => Ok(timeout),
        Err(error) => Err(error.to_string()),
    }
}

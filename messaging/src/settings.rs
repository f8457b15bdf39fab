//! Command-line options and environment variables that web side and processor share. The operator sets the
//! variables; a person at a terminal may use either.

use crate::{
    broker_url::BrokerUrl,
    duration,
    retry::RetryPolicy,
    topology::{QueueType, Topology},
};
use clap::{Arg, Args, Command, builder::TypedValueParser, error::ErrorKind};
use std::{ffi::OsStr, time::Duration};

/// Environment variable of the broker's address.
pub const AMQP_URL: &str = "AMQP_URL";
/// The original demo's variable of the same meaning; [`AMQP_URL`] wins.
pub const CLOUDAMQP_URL: &str = "CLOUDAMQP_URL";
/// Environment variable of the exchange's name.
pub const EXCHANGE: &str = "WARREN_EXCHANGE";
/// Environment variable of the queue type.
pub const QUEUE_TYPE: &str = "WARREN_QUEUE_TYPE";
/// Environment variable of the number of attempts.
pub const MAX_ATTEMPTS: &str = "WARREN_RETRY_MAX_ATTEMPTS";
/// Environment variable of the first retry's delay.
pub const INITIAL_DELAY: &str = "WARREN_RETRY_INITIAL_DELAY";
/// Environment variable of the factor between delays.
pub const FACTOR: &str = "WARREN_RETRY_FACTOR";
/// Environment variable of the longest delay.
pub const MAX_DELAY: &str = "WARREN_RETRY_MAX_DELAY";
/// Environment variable of the worker's name.
pub const WORKER_NAME: &str = "WARREN_WORKER_NAME";

/// How to reach RabbitMQ, and which pipeline's topology to work on.
#[derive(Args, Debug)]
#[command(next_help_heading = "Broker")]
pub struct BrokerSettings {
    /// RabbitMQ's address: amqp://user:password@host:5672/vhost, or amqps:// for TLS
    #[arg(long, env = AMQP_URL, hide_env_values = true, value_name = "URL", value_parser = SecretUrl, required_unless_present = "cloudamqp_url")]
    amqp_url: Option<BrokerUrl>,

    /// The same under the name that the original demo used; --amqp-url wins
    #[arg(long, env = CLOUDAMQP_URL, hide_env_values = true, value_name = "URL", value_parser = SecretUrl)]
    cloudamqp_url: Option<BrokerUrl>,

    /// The pipeline's exchange; its queues are named <exchange>.requests, .results, .dead and .retry.<delay>
    #[arg(long, env = EXCHANGE, default_value = "processing", value_name = "NAME")]
    exchange: String,

    /// Kind of the request and result queues: quorum or classic
    #[arg(long, env = QUEUE_TYPE, default_value = "quorum", value_name = "TYPE")]
    queue_type: QueueType,

    /// This worker's name in reports and at the broker; by default the host's name and the process id
    #[arg(long, env = WORKER_NAME, value_name = "NAME")]
    worker_name: Option<String>,
}

/// When a request that failed for now is tried again.
#[derive(Args, Debug)]
#[command(next_help_heading = "Retry")]
pub struct RetrySettings {
    /// Attempts per request, the first included
    #[arg(long, env = MAX_ATTEMPTS, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    retry_max_attempts: u32,

    /// Pause after the first attempt
    #[arg(long, env = INITIAL_DELAY, default_value = "1s", value_name = "DURATION", value_parser = duration::parse)]
    retry_initial_delay: Duration,

    /// By what the pause grows from attempt to attempt
    #[arg(long, env = FACTOR, default_value_t = 4, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    retry_factor: u32,

    /// The longest pause
    #[arg(long, env = MAX_DELAY, default_value = "5m", value_name = "DURATION", value_parser = duration::parse)]
    retry_max_delay: Duration,
}

/// Reads a broker address. clap's own readers repeat a wrong value in their message, and this one may have a
/// password in it.
#[derive(Clone)]
struct SecretUrl;

impl TypedValueParser for SecretUrl {
    type Value = BrokerUrl;

    fn parse_ref(&self, command: &Command, argument: Option<&Arg>, value: &OsStr) -> Result<BrokerUrl, clap::Error> {
        value.to_string_lossy().parse().map_err(|error| {
            let argument = argument.map(ToString::to_string).unwrap_or_default();
            let message = format!("invalid value for `{argument}`: {error}\n");
            clap::Error::raw(ErrorKind::ValueValidation, message).with_cmd(command)
        })
    }
}

impl RetrySettings {
    /// The policy. A longest pause that is shorter than the first one counts as that one.
    #[must_use]
    pub fn policy(&self) -> RetryPolicy {
        RetryPolicy {
            max_attempts: self.retry_max_attempts,
            initial_delay: self.retry_initial_delay,
            factor: self.retry_factor,
            max_delay: self.retry_max_delay.max(self.retry_initial_delay),
        }
    }
}

impl BrokerSettings {
    /// RabbitMQ's address.
    #[must_use]
    pub fn url(&self) -> &BrokerUrl {
        let given = self.amqp_url.as_ref().or(self.cloudamqp_url.as_ref());
        given.expect("clap demands one of the two")
    }

    /// The topology to work on, as far as every worker needs to know it: names and queue type, but no retry tiers.
    #[must_use]
    pub fn topology(&self) -> Topology {
        Topology { queue_type: self.queue_type, retry: RetryPolicy::none(), ..Topology::named(&self.exchange) }
    }

    /// This worker's name.
    #[must_use]
    pub fn worker_name(&self) -> String {
        self.worker_name.clone().unwrap_or_else(|| {
            let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_else(|_| "worker".into());
            format!("{}-{}", host.trim(), std::process::id())
        })
    }
}

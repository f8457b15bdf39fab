//! Command-line options and environment variables that web side and processor share. The operator sets the
//! variables; a person at a terminal may use either.

use crate::{
    broker::{Broker, CaBundle},
    broker_url::BrokerUrl,
    duration,
    error_chain::Chain,
    retry::RetryPolicy,
    topology::{QueueType, Topology},
};
use clap::{Arg, Args, Command, builder::TypedValueParser, error::ErrorKind};
use std::{ffi::OsStr, marker::PhantomData, str::FromStr, time::Duration};

/// Environment variable of the broker's address.
pub const AMQP_URL: &str = "AMQP_URL";
/// The original demo's variable of the same meaning; [`AMQP_URL`] wins.
pub const CLOUDAMQP_URL: &str = "CLOUDAMQP_URL";
/// Environment variable of the certificate authorities' PEM text.
pub const AMQP_CA_PEM: &str = "AMQP_CA_PEM";
/// Environment variables that tell how to reach the broker, its password included. Whoever runs other people's programs
/// keeps them from these.
pub const BROKER_VARIABLES: [&str; 3] = [AMQP_URL, CLOUDAMQP_URL, AMQP_CA_PEM];
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
    #[arg(long, env = AMQP_URL, hide_env_values = true, value_name = "URL", value_parser = Unrepeated::<BrokerUrl>::new(), required_unless_present = "cloudamqp_url")]
    amqp_url: Option<BrokerUrl>,

    /// The same under the name that the original demo used; --amqp-url wins
    #[arg(long, env = CLOUDAMQP_URL, hide_env_values = true, value_name = "URL", value_parser = Unrepeated::<BrokerUrl>::new())]
    cloudamqp_url: Option<BrokerUrl>,

    /// Certificate authorities to trust besides the system's for amqps://: the PEM text itself, one certificate or more
    #[arg(long, env = AMQP_CA_PEM, hide_env_values = true, allow_hyphen_values = true, value_name = "PEM", value_parser = Unrepeated::<CaBundle>::new())]
    amqp_ca_pem: Option<CaBundle>,

    /// The pipeline's exchange; its queues are named <exchange>.requests, .results, .dead and .retry.<delay>
    #[arg(long, env = EXCHANGE, default_value = "processing", value_name = "NAME", value_parser = exchange)]
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

/// The longest name of an exchange, in bytes: AMQP's names have up to 255, and the queues' are longer than this one.
const LONGEST_EXCHANGE: usize = 200;

fn exchange(name: &str) -> Result<String, String> {
    match name.len() {
        1..=LONGEST_EXCHANGE => Ok(name.to_owned()),
        length => Err(format!("a name has 1 to {LONGEST_EXCHANGE} bytes, and this one {length}")),
    }
}

/// Reads a value that is not repeated when it is wrong, as clap's own readers do: it may have a password in it, or be
/// pages long.
pub struct Unrepeated<T>(PhantomData<fn() -> T>);

impl<T> Unrepeated<T> {
    /// A reader.
    #[must_use]
    pub fn new() -> Self {
        Self(PhantomData)
    }
}

impl<T> Default for Unrepeated<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Clone for Unrepeated<T> {
    fn clone(&self) -> Self {
        Self::new()
    }
}

impl<T> TypedValueParser for Unrepeated<T>
where
    T: FromStr<Err: std::error::Error> + Clone + Send + Sync + 'static,
{
    type Value = T;

    fn parse_ref(&self, command: &Command, argument: Option<&Arg>, value: &OsStr) -> Result<T, clap::Error> {
        value.to_string_lossy().parse().map_err(|error: T::Err| {
            let argument = argument.map(ToString::to_string).unwrap_or_default();
            let message = format!("invalid value for `{argument}`: {}\n", Chain(&error));
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
    /// RabbitMQ's address, and whom to trust that it is RabbitMQ's.
    #[must_use]
    pub fn broker(&self) -> Broker {
        let given = self.amqp_url.as_ref().or(self.cloudamqp_url.as_ref());
        Broker {
            url: given.expect("clap demands one of the two").clone(),
            ca: self.amqp_ca_pem.clone(),
            looked_up_as: None,
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        broker: BrokerSettings,
    }

    fn parsed(ca: &str) -> Result<BrokerSettings, clap::Error> {
        let arguments = ["program", "--amqp-url", "amqps://h", "--amqp-ca-pem", ca];
        Program::try_parse_from(arguments).map(|program| program.broker)
    }

    #[test]
    fn an_exchange_whose_queues_names_would_be_too_long_is_refused() {
        let named = |name: &str| {
            Program::try_parse_from(["program", "--amqp-url", "amqp://h", "--exchange", name])
                .map_err(|e| e.to_string())
        };
        assert!(named(&"x".repeat(200)).is_ok());
        let refusal = named(&"x".repeat(201)).expect_err("is too long");
        assert!(refusal.contains("1 to 200 bytes"), "{refusal}");
    }

    #[test]
    fn a_ca_bundle_is_taken_as_its_text() {
        let certificate = rcgen::generate_simple_self_signed(["h".to_owned()]).expect("is made").cert.pem();
        let broker = parsed(&certificate).expect("is a bundle").broker();
        assert_eq!(broker.ca, Some(certificate.parse().expect("is a bundle")));
    }

    #[test]
    fn a_wrong_ca_bundle_is_explained_and_not_repeated() {
        let refusal = parsed("pages of something else").expect_err("is no bundle").to_string();
        assert!(refusal.contains("--amqp-ca-pem") && refusal.contains("no certificate in it"), "{refusal}");
        assert!(!refusal.contains("pages"), "{refusal}");
    }
}

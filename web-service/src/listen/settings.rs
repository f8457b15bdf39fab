//! What clients are granted, all together and each.

use clap::Args;
use std::time::Duration;
use warren_messaging::duration;

/// Limits on connections and what comes over them.
#[derive(Args, Clone, Debug)]
pub struct ListenSettings {
    /// The most connections at a time
    #[arg(long, env = "WARREN_MAX_CONNECTIONS", default_value_t = 10_000, value_name = "COUNT")]
    pub max_connections: usize,

    /// The most bytes of request bodies in memory at a time, and as many of answers
    #[arg(long, env = "WARREN_MAX_HELD_BYTES", default_value_t = 32 * 1024 * 1024, value_name = "BYTES")]
    pub max_held_bytes: usize,

    /// How long a client may take to send the head of a request
    #[arg(long, env = "WARREN_HEADER_TIMEOUT", default_value = "10s", value_name = "DURATION", value_parser = duration::parse)]
    pub header_timeout: Duration,

    /// How long a client may take to send a body, and as long again for each MiB of it
    #[arg(long, env = "WARREN_BODY_TIMEOUT", default_value = "30s", value_name = "DURATION", value_parser = duration::parse)]
    pub body_timeout: Duration,

    /// How long a client may take to read an answer, and as long again for each MiB of it
    #[arg(long, env = "WARREN_ANSWER_TIMEOUT", default_value = "30s", value_name = "DURATION", value_parser = duration::parse)]
    pub answer_timeout: Duration,

    /// How long a connection may stay open between two requests
    #[arg(long, env = "WARREN_IDLE_TIMEOUT", default_value = "75s", value_name = "DURATION", value_parser = duration::parse)]
    pub idle_timeout: Duration,
}

/// How long so many bytes may be on their way, when the first may be for `timeout`.
pub(super) fn passage(timeout: Duration, bytes: u64) -> Duration {
    timeout.saturating_add(timeout.saturating_mul(u32::try_from(bytes >> 10).unwrap_or(u32::MAX)) / 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_body_has_longer_on_its_way() {
        let timeout = Duration::from_secs(30);
        assert_eq!(passage(timeout, 100), timeout);
        assert_eq!(passage(timeout, 512 * 1024), Duration::from_secs(45));
        assert_eq!(passage(timeout, 3 << 20), Duration::from_secs(120));
        assert!(passage(Duration::MAX, u64::MAX) > timeout);
    }
}

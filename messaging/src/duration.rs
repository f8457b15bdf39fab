//! Durations as Kubernetes users write them: `500ms`, `90s`, `5m`, `24h`, `1h30m`; and days, `7d` or `1d12h`.

use std::time::Duration;

/// The regular expression that the CRD's schema uses for a duration; [`parse`] takes exactly these. Days come first and
/// once, so that a rule of the schema can turn them into hours: Kubernetes' own durations end with these.
pub const PATTERN: &str = "^([0-9]{1,5}d|([0-9]{1,5}d)?([0-9]+(ms|s|m|h))+)$";

/// A text that is no duration.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not a duration: write digits with a unit each, such as 500ms, 90s, 5m, 24h, 1h30m or 7d")]
pub struct NotADuration {
    given: String,
}

/// Reads a duration such as `1h30m`.
///
/// # Errors
/// The text does not match [`PATTERN`], or is longer than a machine can count.
pub fn parse(text: &str) -> Result<Duration, NotADuration> {
    let refuse = || NotADuration { given: text.to_owned() };
    if !matches_pattern(text) {
        return Err(refuse());
    }
    humantime::parse_duration(text).map_err(|_| refuse())
}

/// Writes a duration the way [`parse`] reads it, without spaces, so that it can be part of a queue's name. Never in days:
/// queues have such names since before there were any. Below a millisecond it is cut.
#[must_use]
pub fn format(duration: Duration) -> String {
    let mut left = duration.as_millis();
    let mut text = String::new();
    for (unit, millis) in [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)] {
        if left >= millis {
            text.push_str(&format!("{}{unit}", left / millis));
            left %= millis;
        }
    }
    if text.is_empty() { "0s".into() } else { text }
}

/// [`PATTERN`] without a regular expression engine: humantime alone would also take `1 day` or `2years`.
fn matches_pattern(text: &str) -> bool {
    let (days, mut rest) = split_days(text);
    if rest.is_empty() {
        return days;
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let after = &rest[digits..];
        let Some(unit) = ["ms", "s", "m", "h"].into_iter().find(|unit| after.starts_with(unit)) else {
            return false;
        };
        if digits == 0 {
            return false;
        }
        rest = &after[unit.len()..];
    }
    true
}

/// Whether it begins with days, and what follows them.
fn split_days(text: &str) -> (bool, &str) {
    match text.split_once('d') {
        Some((days, rest)) if (1..=5).contains(&days.len()) && days.bytes().all(|byte| byte.is_ascii_digit()) => {
            (true, rest)
        }
        _ => (false, text),
    }
}

/// A duration inside a JSON or YAML value, as text.
pub mod text {
    use serde::{Deserialize as _, Deserializer, Serializer};
    use std::time::Duration;

    /// Writes the text form.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::format(*duration))
    }

    /// Reads the text form.
    ///
    /// # Errors
    /// The value is no text, or no duration.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(deserializer)?;
        super::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_of_kubernetes_users_are_read() {
        for (text, millis) in [("500ms", 500), ("90s", 90_000), ("5m", 300_000), ("1h30m", 5_400_000)] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn days_come_first_and_are_written_as_hours() {
        for (text, hours) in [("7d", 168), ("0d", 0), ("1d12h", 36), ("99999d", 2_399_976)] {
            assert_eq!(parse(text), Ok(Duration::from_secs(hours * 3600)), "{text}");
        }
        assert_eq!(format(Duration::from_secs(7 * 86_400)), "168h");
        for text in ["d", "12h1d", "1d1d", "100000d", "1.5d", "1D", "1d12", "1days"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        for millis in [0, 1, 999, 1_000, 64_000, 300_000, 86_400_000, 86_461_001] {
            let duration = Duration::from_millis(millis);
            assert_eq!(parse(&format(duration)), Ok(duration));
        }
        assert_eq!(format(Duration::from_secs(64)), "1m4s");
        assert_eq!(parse("999999999999999h").map(format).as_deref(), Ok("999999999999999h"));
    }

    #[test]
    fn a_text_without_units_or_with_foreign_ones_is_refused_and_shown() {
        for text in ["", "5", "5 m", "1w", "m5", "-1s", "1.5s", "5M"] {
            let refusal = parse(text).expect_err(text).to_string();
            assert!(refusal.contains(&format!("`{text}`")), "{refusal}");
        }
    }
}

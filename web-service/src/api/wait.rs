//! `wait`: how long a client is willing to be kept.

use super::Problem;
use std::time::Duration;
use warren_messaging::duration;

/// Reads the query parameter `wait`: a duration such as `30s`, at most `max`.
pub(super) fn parse(given: Option<&str>, max: Duration) -> Result<Duration, Problem> {
    let Some(text) = given else { return Ok(Duration::ZERO) };
    match duration::parse(text) {
        Ok(wait) if wait <= max => Ok(wait),
        _ => Err(Problem::InvalidWait { given: text.to_owned(), max }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_a_duration_within_the_limit() {
        let max = Duration::from_secs(60);
        assert_eq!(parse(None, max).ok(), Some(Duration::ZERO));
        assert_eq!(parse(Some("1m"), max).ok(), Some(max));
        for text in ["61s", "30", "-1s", "", "soon"] {
            let refusal = parse(Some(text), max).expect_err(text).to_string();
            assert!(refusal.contains("0s to 1m"), "{refusal}");
        }
    }
}

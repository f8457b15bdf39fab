//! `wait`: how long a client is willing to be kept, and how many may be.

use super::Problem;
use std::{sync::Arc, time::Duration};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use warren_messaging::duration;

/// Places for clients that wait. Clones share them.
#[derive(Clone)]
pub struct Waiting {
    places: Arc<Semaphore>,
    all: usize,
}

impl Waiting {
    /// So many places.
    #[must_use]
    pub fn new(places: usize) -> Self {
        let all = places.min(Semaphore::MAX_PERMITS);
        Self { places: Arc::new(Semaphore::new(all)), all }
    }

    /// How many clients wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.all - self.places.available_permits()
    }

    /// Whether nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A place, if there is one, until it is dropped.
    pub(super) fn place(&self) -> Option<OwnedSemaphorePermit> {
        self.places.clone().try_acquire_owned().ok()
    }
}

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
    fn a_place_is_free_again_once_its_client_has_left() {
        let waiting = Waiting::new(1);
        let first = waiting.place();
        assert_eq!((waiting.len(), waiting.place().is_none()), (1, true));
        drop(first);
        assert!(waiting.is_empty());
        assert!(waiting.place().is_some());
    }

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

//! `wait`: how long a client is willing to be kept, and how many may be.

use super::Problem;
use std::{sync::Arc, time::Duration};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use warren_messaging::duration;

/// After how many seconds a client asks again, and one for whom there was no place to wait.
const ASK_AGAIN: (i64, i64) = (1, 5);

/// Places for clients that wait. Clones share them.
#[derive(Clone)]
pub struct Waiting {
    places: Arc<Semaphore>,
    all: usize,
}

/// A look-up's place, if it wants one and there is one.
pub(super) struct Place {
    time: Duration,
    wanted: bool,
    place: Option<OwnedSemaphorePermit>,
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

    /// Who finds no place is not refused: the answer is what is known now, as after a wait in vain.
    pub(super) fn place(&self, time: Duration) -> Place {
        let wanted = !time.is_zero();
        let place = if wanted { self.places.clone().try_acquire_owned().ok() } else { None };
        Place { time, wanted, place }
    }
}

impl Place {
    /// How long to wait.
    pub(super) fn time(&self) -> Duration {
        if self.place.is_some() { self.time } else { Duration::ZERO }
    }

    /// After how many seconds to ask again.
    pub(super) fn ask_again(&self) -> i64 {
        if self.wanted && self.place.is_none() { ASK_AGAIN.1 } else { ASK_AGAIN.0 }
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
    fn who_finds_no_place_does_not_wait_and_asks_less_often() {
        let waiting = Waiting::new(1);
        let minute = Duration::from_secs(60);
        assert_eq!(waiting.place(Duration::ZERO).ask_again(), ASK_AGAIN.0);
        let first = waiting.place(minute);
        let second = waiting.place(minute);
        assert_eq!((first.time(), first.ask_again()), (minute, ASK_AGAIN.0));
        assert_eq!((second.time(), second.ask_again()), (Duration::ZERO, ASK_AGAIN.1));
        drop(first);
        assert!(waiting.is_empty());
        assert_eq!(waiting.place(minute).time(), minute);
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

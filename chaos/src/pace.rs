//! How many requests may have been sent by now: they are spread over the faults, however long those take.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// How long a slot is taken to last before one was seen.
const FIRST_GUESS: Duration = Duration::from_secs(6);
/// How often a client that is ahead looks again.
const LOOK: Duration = Duration::from_millis(10);

/// Hands out the numbers of requests, no faster than the faults go on.
#[derive(Debug)]
pub struct Pace(Mutex<State>);

#[derive(Debug)]
struct State {
    total: u64,
    issued: u64,
    slots: u32,
    done: u32,
    begun: Instant,
    expected: Duration,
    per_second: Option<f64>,
    over: bool,
}

impl Pace {
    /// `total` requests over this many slots; all at once without slots.
    #[must_use]
    pub fn new(total: u64, slots: u32) -> Self {
        let (begun, expected) = (Instant::now(), FIRST_GUESS);
        Self(Mutex::new(State { total, issued: 0, slots, done: 0, begun, expected, per_second: None, over: false }))
    }

    /// So many per second from now on, until it is ended.
    #[must_use]
    pub fn steady(per_second: f64) -> Self {
        let pace = Self::new(u64::MAX, 0);
        pace.lock().per_second = Some(per_second);
        pace
    }

    /// A slot is over.
    pub fn slot_done(&self) {
        let mut state = self.lock();
        // The next one lasts about as long as the ones before.
        state.expected = (state.expected * 3 + state.begun.elapsed()) / 4;
        state.done += 1;
        state.begun = Instant::now();
    }

    /// No more are wanted, whatever was planned.
    pub fn end(&self) {
        self.lock().over = true;
    }

    /// The next request's number, when its time has come; `None` after the last.
    pub async fn next(&self) -> Option<u64> {
        loop {
            if let Some(answer) = self.lock().take() {
                return answer;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// `None`: not yet; `Some(None)`: never more.
    fn take(&mut self) -> Option<Option<u64>> {
        if self.over || self.issued >= self.total {
            return Some(None);
        }
        (self.issued < self.allowed()).then(|| {
            self.issued += 1;
            Some(self.issued)
        })
    }

    fn allowed(&self) -> u64 {
        if let Some(per_second) = self.per_second {
            return (self.begun.elapsed().as_secs_f64() * per_second) as u64;
        }
        if self.done >= self.slots {
            return self.total;
        }
        let part = (self.begun.elapsed().as_secs_f64() / self.expected.as_secs_f64()).min(1.0);
        (self.total as f64 * (f64::from(self.done) + part) / f64::from(self.slots)) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_more_than_a_slots_share_is_handed_out_before_the_slot_is_over() {
        let pace = Pace::new(10, 2);
        pace.lock().expected = Duration::from_millis(1);
        for number in 1..=5 {
            assert_eq!(pace.next().await, Some(number));
        }
        let ahead = tokio::time::timeout(Duration::from_millis(50), pace.next()).await;
        assert!(ahead.is_err(), "{ahead:?}");
        pace.slot_done();
        pace.slot_done();
        assert_eq!(pace.next().await, Some(6));
    }

    #[tokio::test]
    async fn a_steady_pace_waits_for_the_clock() {
        let pace = Pace::steady(100.0);
        let begun = Instant::now();
        for _ in 0..5 {
            pace.next().await;
        }
        assert!(begun.elapsed() >= Duration::from_millis(50), "{:?}", begun.elapsed());
    }

    #[tokio::test]
    async fn after_the_last_there_is_none() {
        let pace = Pace::new(1, 0);
        assert_eq!(pace.next().await, Some(1));
        assert_eq!(pace.next().await, None);
    }
}

//! When a command that keeps crashing may be started again.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::{Instant, sleep_until};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Pauses between starts: none at first, then longer from crash to crash until one gives an answer.
#[derive(Debug, Default)]
pub(super) struct Starts(Mutex<Crashes>);

#[derive(Debug, Default)]
struct Crashes {
    in_a_row: u32,
    not_before: Option<Instant>,
}

impl Starts {
    /// Waits until a start makes sense.
    pub(super) async fn permitted(&self) {
        let not_before = self.lock().not_before;
        if let Some(instant) = not_before {
            sleep_until(instant).await;
        }
    }

    /// It crashed, or could not be started.
    pub(super) fn failed(&self) {
        let mut crashes = self.lock();
        let pause = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(crashes.in_a_row)).min(LONGEST_PAUSE);
        crashes.in_a_row = crashes.in_a_row.saturating_add(1);
        crashes.not_before = Some(Instant::now() + pause);
    }

    /// It answered.
    pub(super) fn succeeded(&self) {
        *self.lock() = Crashes::default();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Crashes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn waited(starts: &Starts) -> u128 {
        let begun = Instant::now();
        starts.permitted().await;
        begun.elapsed().as_millis()
    }

    #[tokio::test(start_paused = true)]
    async fn crashes_in_a_row_wait_longer_and_an_answer_ends_that() {
        let starts = Starts::default();
        assert_eq!(waited(&starts).await, 0);
        for expected in [100, 200, 400] {
            starts.failed();
            assert_eq!(waited(&starts).await, expected);
        }
        (0..40).for_each(|_| starts.failed());
        assert_eq!(waited(&starts).await, 30_000);
        starts.succeeded();
        assert_eq!(waited(&starts).await, 0);
    }
}

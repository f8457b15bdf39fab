//! Handler time summed over requests, exact at every moment.
//!
//! Adding up attempts at their end would report nothing of a ten minute attempt for ten minutes and then all at
//! once; the integral of "how many run" over time grows as the work does.

use std::time::Instant;

/// The integral of the number of running handlers.
#[derive(Debug)]
pub(super) struct Busy {
    running: u32,
    until: Instant,
    seconds: f64,
}

impl Default for Busy {
    fn default() -> Self {
        Self { running: 0, until: Instant::now(), seconds: 0.0 }
    }
}

impl Busy {
    pub(super) fn begin(&mut self) -> Instant {
        self.advance(Instant::now());
        self.running += 1;
        self.until
    }

    pub(super) fn end(&mut self) -> Instant {
        self.advance(Instant::now());
        self.running = self.running.saturating_sub(1);
        self.until
    }

    pub(super) fn seconds(&mut self) -> f64 {
        self.advance(Instant::now());
        self.seconds
    }

    fn advance(&mut self, now: Instant) {
        self.seconds += f64::from(self.running) * now.saturating_duration_since(self.until).as_secs_f64();
        self.until = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn busy_time_grows_while_handlers_run_and_by_as_many_as_run() {
        let mut busy = Busy { running: 2, ..Busy::default() };
        let later = busy.until + Duration::from_secs(3);
        busy.advance(later);
        assert!((busy.seconds - 6.0).abs() < 1e-9);
        busy.running = 0;
        busy.advance(later + Duration::from_secs(60));
        assert!((busy.seconds - 6.0).abs() < 1e-9);
    }
}

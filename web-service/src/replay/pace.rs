//! So many per second, evenly.

use std::time::Duration;
use tokio::time::Instant;

/// Gives out moments.
pub(super) struct Pace {
    between: Duration,
    next: Option<Instant>,
}

impl Pace {
    /// `rate` moments per second.
    pub(super) fn new(rate: u32) -> Self {
        Self { between: Duration::from_secs(1) / rate.max(1), next: None }
    }

    /// The next moment, `now` or later. Those that passed unused are not made up for.
    pub(super) fn moment(&mut self, now: Instant) -> Instant {
        let moment = self.next.map_or(now, |next| next.max(now));
        self.next = Some(moment + self.between);
        moment
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_evenly_spread_and_a_pause_is_not_made_up_for() {
        let (mut pace, begun) = (Pace::new(10), Instant::now());
        let mut after = |millis| (pace.moment(begun + Duration::from_millis(millis)) - begun).as_millis();
        assert_eq!([after(0), after(0), after(120)], [0, 100, 200]);
        assert_eq!([after(5000), after(5000)], [5000, 5100]);
    }
}

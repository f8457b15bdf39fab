//! How often pipelines are looked at. Pure.

use std::time::Duration;

/// What was deleted on a broker is back after this long at most.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// The same for each pipeline that there is: a thousand of them declared every ten seconds kept two cores busy.
const LOOK_EVERY_EACH: Duration = Duration::from_millis(30);

/// How often a pipeline that works is looked at when there are so many: a thousand every 30 s.
#[must_use]
pub fn look_every(pipelines: usize) -> Duration {
    LOOK_EVERY.max(LOOK_EVERY_EACH.saturating_mul(u32::try_from(pipelines).unwrap_or(u32::MAX)))
}

/// How long what was found right on the broker is taken for right. Pods that come and go bring on many looks, and each
/// declaration costs RabbitMQ more than all the rest of a look.
#[must_use]
pub fn right_for(pipelines: usize) -> Duration {
    look_every(pipelines) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_pipelines_are_repaired_within_seconds_and_many_leave_the_broker_time_for_messages() {
        assert_eq!([0, 1, 100].map(look_every), [LOOK_EVERY; 3]);
        assert_eq!(look_every(1000), Duration::from_secs(30));
        assert_eq!(right_for(1), Duration::from_secs(5));
        assert_eq!(look_every(usize::MAX), LOOK_EVERY_EACH * u32::MAX, "however many");
    }
}

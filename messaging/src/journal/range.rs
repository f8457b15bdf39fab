//! Which requests are read, by the clocks of those who sent them. Pure.

use jiff::{SignedDuration, Timestamp};

/// By how much the clocks of senders and of the broker may differ: the stream is looked up by the broker's, in parts,
/// and the range is of the senders' times.
pub(super) const SKEW: SignedDuration = SignedDuration::from_mins(5);

/// Which part of a journal is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// What was published at this time, to the second, or later.
    pub since: Timestamp,
    /// And not later than this.
    pub until: Timestamp,
    /// The place in the stream to begin at, or at what is left after it: for going on where reading ended.
    pub resume_at: Option<u64>,
}

/// How a request lies to a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It is in it.
    Within,
    /// It is before it, or a little behind it.
    Outside,
    /// So far behind it that nothing more of it will come.
    Beyond,
}

impl Range {
    /// How a request that was sent then lies to it.
    pub(super) fn place(&self, at: Timestamp) -> Place {
        // Messages tell their time in whole seconds.
        if at.as_second() >= self.since.as_second() && at <= self.until {
            return Place::Within;
        }
        if at.duration_since(self.until) > SKEW { Place::Beyond } else { Place::Outside }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_of_whole_seconds_and_ends_when_no_clock_can_be_that_wrong() {
        let time = |text: &str| text.parse::<Timestamp>().expect("is a time");
        let range =
            Range { since: time("2026-11-20T10:00:00.5Z"), until: time("2026-11-20T11:00:00Z"), resume_at: None };
        for (at, place) in [
            ("2026-11-20T09:59:59Z", Place::Outside),
            ("2026-11-20T10:00:00Z", Place::Within),
            ("2026-11-20T11:00:00Z", Place::Within),
            ("2026-11-20T11:05:00Z", Place::Outside),
            ("2026-11-20T11:05:01Z", Place::Beyond),
        ] {
            assert_eq!(range.place(time(at)), place, "{at}");
        }
    }
}

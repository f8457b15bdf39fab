//! The journal: a stream beside the request queue that keeps a copy of every request for a while.

use super::{Argument, QueuePlan, Topology, plan::Shadow};
use std::time::Duration;

/// How much of the past a journal keeps. RabbitMQ forgets whole segments of a stream, when a new one is begun: what was
/// written last stays, however old it grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Journal {
    /// Older segments go. Counted in whole seconds.
    pub retention: Duration,
    /// The oldest segments go when all are larger than this, in bytes.
    pub max_bytes: u64,
}

/// Into how many segments a full journal is divided: it keeps to its limits within so many parts.
const SEGMENTS: u64 = 64;
/// The smallest segment. Each is two files, and a moment's work for the broker.
const SMALLEST_SEGMENT: u64 = 1024 * 1024;
/// The largest: RabbitMQ's own default.
const LARGEST_SEGMENT: u64 = 500_000_000;

impl Journal {
    fn arguments(self) -> Vec<(&'static str, Argument)> {
        vec![
            ("x-queue-type", "stream".into()),
            ("x-max-age", Argument::Text(max_age(self.retention))),
            ("x-max-length-bytes", number(self.max_bytes)),
            ("x-stream-max-segment-size-bytes", number(self.segment_bytes())),
        ]
    }

    fn segment_bytes(self) -> u64 {
        (self.max_bytes / SEGMENTS).clamp(SMALLEST_SEGMENT, LARGEST_SEGMENT)
    }
}

fn number(number: u64) -> Argument {
    Argument::Number(i64::try_from(number).unwrap_or(i64::MAX))
}

/// `7D`, `36h`: in the largest unit that comes out even, so that equal times are equal words. RabbitMQ compares the
/// words, and takes no `7d`.
fn max_age(retention: Duration) -> String {
    let seconds = retention.as_secs().max(1);
    let units = [("D", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];
    let even = units.into_iter().find(|(_, length)| seconds.is_multiple_of(*length));
    even.map_or_else(|| format!("{seconds}s"), |(unit, length)| format!("{}{unit}", seconds / length))
}

impl Topology {
    /// The journal's stream. It has no key of its own: the request queue's keys lead to it, see [`Shadow`].
    pub(super) fn journal_queue(&self) -> Option<QueuePlan> {
        self.journal.map(|journal| QueuePlan {
            name: self.journal_stream(),
            arguments: journal.arguments(),
            keys: Vec::new(),
            stale_keys: Vec::new(),
            shadow: None,
        })
    }

    /// What an earlier spec may have left of a journal: for [`super::remove`], which must know whatever may exist.
    #[must_use]
    pub fn former_journal(&self) -> Option<QueuePlan> {
        let any = Journal { retention: Duration::from_secs(1), max_bytes: 0 };
        let former = || Self { journal: Some(any), ..self.clone() }.journal_queue();
        if self.journal.is_some() { None } else { former() }
    }

    /// The journal gets a copy of every request, or no longer.
    pub(super) fn shadow_of_requests(&self) -> Shadow {
        Shadow { queue: self.journal_stream(), wanted: self.journal.is_some() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_times_are_equal_words_in_rabbitmqs_units() {
        for (seconds, words) in
            [(604_800, "7D"), (129_600, "36h"), (5_400, "90m"), (61, "61s"), (86_400, "1D"), (0, "1s")]
        {
            assert_eq!(max_age(Duration::from_secs(seconds)), words);
        }
    }

    #[test]
    fn segments_divide_the_limit_within_bounds() {
        let segment = |max_bytes| Journal { retention: Duration::from_secs(1), max_bytes }.segment_bytes();
        assert_eq!(segment(10 * 1024 * 1024 * 1024), 160 * 1024 * 1024);
        assert_eq!((segment(1), segment(u64::MAX)), (SMALLEST_SEGMENT, LARGEST_SEGMENT));
    }
}

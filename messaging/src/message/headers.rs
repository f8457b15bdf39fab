//! Headers of a message that came in, from whichever sender.

use jiff::Timestamp;
use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldTable},
};

/// Which attempt a request is on, counted from 1. The only count that survives retries on every RabbitMQ
/// version: `x-death` counts differ between 3.10 and 4.x.
pub const ATTEMPT: &str = "x-attempt";
/// Which replay of a request this is about: 0, or absent on a request, before the first. Attempts are counted anew in
/// each.
pub const REPLAY: &str = "x-replay";
/// When a request is no longer worth doing, RFC 3339.
pub const DEADLINE: &str = "x-deadline";
/// Why a request was given up: one of [`super::FailureReason`]'s words.
pub const REASON: &str = "x-reason";
/// What went wrong, in words for a person.
pub const ERROR: &str = "x-error";
/// How often a worker vanished with the request, on classic queues: those count no deliveries. Gone once it ran to an end.
pub const VANISHED: &str = "x-vanished";
/// W3C trace context.
pub const TRACEPARENT: &str = "traceparent";

/// Today's have 55 bytes; later versions of the standard may add some.
const LONGEST_TRACEPARENT: usize = 256;

/// Where a stream has a message; the broker adds it when it delivers from one.
const STREAM_OFFSET: &str = "x-stream-offset";

/// Headers that the broker adds when it dead-letters or redelivers. A message that carries them on is counted
/// into a cycle by RabbitMQ 3.10 and then dropped, so nothing that Warren publishes has them.
///
/// `CC` and `BCC` are a sender's, but the broker routes by them: carried on, each retry would also go to where they
/// say, at once and again and again.
const OF_THE_BROKER: [&str; 6] = ["x-death", "x-delivery-count", "x-acquired-count", STREAM_OFFSET, "CC", "BCC"];
const OF_THE_BROKER_PREFIXES: [&str; 2] = ["x-first-death-", "x-last-death-"];

/// How large the headers may be that are carried on, in bytes. RabbitMQ closes the connection for a frame that is larger
/// than was agreed on (32 KiB, see [`crate::link::Frames`]), and headers come in one frame; ours need a place beside them.
const MOST_CARRIED: usize = 16 * 1024;

pub(super) fn is_traceparent(text: &str) -> bool {
    text.len() <= LONGEST_TRACEPARENT && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The properties of a message that came in, read without trusting its sender.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a>(pub &'a BasicProperties);

impl Incoming<'_> {
    /// The highest replay that is believed: each one was asked for by somebody, and the next must still be a number.
    pub const MOST_REPLAYS: u32 = 1_000_000;

    /// Which attempt this is; 1 when the sender did not say.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        let attempt = self.integer(ATTEMPT).and_then(|number| u32::try_from(number).ok());
        attempt.unwrap_or(1).max(1)
    }

    /// Which replay this is about; `None` when the sender did not say. On a request that means 0.
    #[must_use]
    pub fn replay(&self) -> Option<u32> {
        let replay = self.integer(REPLAY).and_then(|number| u32::try_from(number).ok());
        replay.filter(|replay| *replay <= Self::MOST_REPLAYS)
    }

    /// How often the broker delivered it in vain before; quorum queues count, classic ones do not.
    #[must_use]
    pub fn delivery_count(&self) -> u32 {
        let count = self.integer("x-delivery-count").and_then(|number| u32::try_from(number).ok());
        count.unwrap_or(0)
    }

    /// How often a worker of a classic queue vanished with it since it last ran to an end.
    #[must_use]
    pub fn vanished(&self) -> u32 {
        let count = self.integer(VANISHED).and_then(|number| u32::try_from(number).ok());
        count.unwrap_or(0)
    }

    /// When the request is no longer worth doing.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        self.text(DEADLINE)?.parse().ok()
    }

    /// Where a stream has it.
    #[must_use]
    pub fn stream_offset(&self) -> Option<u64> {
        self.integer(STREAM_OFFSET).and_then(|number| u64::try_from(number).ok())
    }

    /// The sender's W3C trace context. What cannot be one is none: it would come between a command and its environment.
    #[must_use]
    pub fn traceparent(&self) -> Option<&str> {
        self.text(TRACEPARENT).filter(|text| is_traceparent(text))
    }

    /// Why the broker itself dead-lettered it (`delivery_limit`, `expired`, `rejected`, `maxlen`), if it did.
    #[must_use]
    pub fn death_reason(&self) -> Option<&str> {
        let AMQPValue::FieldArray(deaths) = self.header("x-death")? else {
            return None;
        };
        let AMQPValue::FieldTable(newest) = deaths.as_slice().first()? else {
            return None;
        };
        newest.inner().get("reason").and_then(as_text)
    }

    /// A header that is a text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.header(name).and_then(as_text)
    }

    /// The sender's headers without those that the broker added, or that count its returns. Of more than fits into a
    /// frame the smallest are kept, which those are that Warren reads.
    #[must_use]
    pub fn own_headers(&self) -> FieldTable {
        let carried = |name: &str| {
            let of_the_broker =
                OF_THE_BROKER.contains(&name) || OF_THE_BROKER_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
            !of_the_broker && name != VANISHED
        };
        let all = self.0.headers().iter().flat_map(|headers| headers.inner());
        let mut headers: Vec<_> = all.filter(|(name, _)| carried(name.as_str())).collect();
        headers.sort_by_cached_key(|(name, value)| name.as_str().len() + size(value));
        let (mut own, mut used) = (FieldTable::default(), 0);
        for (name, value) in headers {
            used += name.as_str().len() + size(value);
            if used <= MOST_CARRIED {
                own.insert(name.clone(), value.clone());
            }
        }
        own
    }

    fn header(&self, name: &str) -> Option<&AMQPValue> {
        self.0.headers().as_ref()?.inner().get(name)
    }

    fn integer(&self, name: &str) -> Option<i64> {
        match self.header(name)? {
            AMQPValue::ShortShortInt(number) => Some((*number).into()),
            AMQPValue::ShortShortUInt(number) => Some((*number).into()),
            AMQPValue::ShortInt(number) => Some((*number).into()),
            AMQPValue::ShortUInt(number) => Some((*number).into()),
            AMQPValue::LongInt(number) => Some((*number).into()),
            AMQPValue::LongUInt(number) => Some((*number).into()),
            AMQPValue::LongLongInt(number) => Some(*number),
            _ => None,
        }
    }
}

/// About how many bytes a value takes in a frame, never fewer.
fn size(value: &AMQPValue) -> usize {
    // Kind, length, and what has no length of its own.
    const FRAMING: usize = 9;
    FRAMING
        + match value {
            AMQPValue::LongString(text) => text.as_bytes().len(),
            AMQPValue::ShortString(text) => text.as_str().len(),
            AMQPValue::ByteArray(bytes) => bytes.as_slice().len(),
            AMQPValue::FieldArray(items) => items.as_slice().iter().map(size).sum(),
            AMQPValue::FieldTable(members) => {
                members.inner().iter().map(|(name, value)| 1 + name.as_str().len() + size(value)).sum()
            }
            _ => 0,
        }
}

fn as_text(value: &AMQPValue) -> Option<&str> {
    match value {
        AMQPValue::LongString(text) => std::str::from_utf8(text.as_bytes()).ok(),
        AMQPValue::ShortString(text) => Some(text.as_str()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &str, value: AMQPValue) -> BasicProperties {
        let mut headers = FieldTable::default();
        headers.insert(name.into(), value);
        BasicProperties::default().with_headers(headers)
    }

    #[test]
    fn a_foreign_message_without_headers_is_a_first_attempt() {
        let properties = BasicProperties::default();
        let incoming = Incoming(&properties);
        assert_eq!((incoming.attempt(), incoming.delivery_count()), (1, 0));
        assert_eq!((incoming.deadline(), incoming.death_reason(), incoming.replay()), (None, None, None));
    }

    #[test]
    fn absurd_counts_are_read_as_the_least() {
        for value in [AMQPValue::LongLongInt(-4), AMQPValue::LongLongInt(i64::MAX), AMQPValue::Boolean(true)] {
            assert_eq!(Incoming(&with(ATTEMPT, value)).attempt(), 1);
        }
        assert_eq!(Incoming(&with(ATTEMPT, AMQPValue::ShortUInt(3))).attempt(), 3);
        assert_eq!(Incoming(&with(REPLAY, AMQPValue::LongLongInt(-1))).replay(), None);
        assert_eq!(Incoming(&with(REPLAY, AMQPValue::LongInt(2))).replay(), Some(2));
        assert_eq!(Incoming(&with(REPLAY, AMQPValue::LongLongInt(4_294_967_295))).replay(), None);
    }

    #[test]
    fn a_trace_context_that_no_environment_can_carry_is_none() {
        let given = |text: &str| with(TRACEPARENT, AMQPValue::LongString(text.into()));
        let good = given("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        assert!(Incoming(&good).traceparent().is_some_and(|text| text.ends_with("-01")));
        for text in ["a\0b", "a b", "a\n", "é", &"x".repeat(300)] {
            assert_eq!(Incoming(&given(text)).traceparent(), None, "{text:?}");
        }
    }

    #[test]
    fn of_headers_that_fit_into_no_frame_the_smallest_are_carried_on() {
        let mut headers = FieldTable::default();
        for (name, length) in [("x-large", 20_000), ("a", 5_000), ("b", 6_000), ("c", 7_000), (TRACEPARENT, 55)] {
            headers.insert(name.into(), AMQPValue::LongString("x".repeat(length).into()));
        }
        let carried = Incoming(&BasicProperties::default().with_headers(headers)).own_headers();
        let names: Vec<_> = carried.inner().keys().map(|name| name.as_str()).collect();
        assert_eq!(names, ["a", "b", TRACEPARENT]);
    }

    #[test]
    fn what_the_broker_added_is_not_carried_on() {
        for name in
            ["x-death", "x-first-death-reason", "x-last-death-queue", "x-delivery-count", "x-acquired-count", "CC"]
        {
            assert_eq!(Incoming(&with(name, AMQPValue::LongInt(1))).own_headers(), FieldTable::default(), "{name}");
        }
        let kept = with(TRACEPARENT, AMQPValue::LongString("00-…".into()));
        assert_eq!(Incoming(&kept).own_headers().inner().len(), 1);
    }
}

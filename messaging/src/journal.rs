//! Reads a pipeline's journal: the requests of a range of time, in the order in which they came.
//!
//! The range ends, at the latest, where the stream ends when it is opened: what is written later is not waited for. The
//! stream itself is not changed by reading.

mod entry;
mod range;
mod tail;

pub use entry::Entry;
pub use range::Range;

use crate::{
    broker::Broker,
    link::{Frames, LinkError, connect, open_channel, outlived},
    topology::check::counts,
};
use futures::StreamExt as _;
use jiff::{SignedDuration, Timestamp};
use lapin::{
    Channel, Connection, Consumer,
    options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions},
    types::{AMQPValue, FieldTable},
};
use range::{Place, SKEW};
use std::time::Duration;
use tail::Tail;

/// How many requests the broker sends ahead. RabbitMQ takes a consumer for dead that holds one for half an hour, so
/// this bounds how slowly may be read: to one in half a minute.
const PREFETCH: u16 = 64;
/// After how many requests the broker is told so.
const ACK_EVERY: u32 = 32;
/// How long a connection may take to close.
const FAREWELL: Duration = Duration::from_secs(2);
/// How long the first request may take. Nothing comes of an empty stream, or if the broker's clock knows of none in the
/// range.
const FIRST: Duration = Duration::from_secs(5);
/// How long a request may take of which it is known that it is there.
const KNOWN: Duration = Duration::from_secs(10);

/// Why a journal cannot be read, or no further.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// There is no such stream. A broker that has just started says so for a moment, too.
    #[error(
        "there is no stream {stream}: the pipeline keeps no journal (spec.topology.journal), or it is not declared yet"
    )]
    Missing {
        /// Its name.
        stream: String,
    },
    /// Nothing comes though there is something. Open it again where it ended.
    #[error("the stream {stream} sends nothing for now, though there must be more in it")]
    Silent {
        /// Its name.
        stream: String,
    },
    /// RabbitMQ cannot be reached, or the connection has ended. Open it again where it ended.
    #[error("the journal cannot be read")]
    Link(#[from] LinkError),
}

impl From<lapin::Error> for JournalError {
    fn from(error: lapin::Error) -> Self {
        Self::Link(error.into())
    }
}

/// A range that is being read, over a connection of its own.
pub struct Reader {
    connection: Connection,
    channel: Channel,
    consumer: Consumer,
    stream: String,
    range: Range,
    /// `None` when there is nothing more to read.
    tail: Option<Tail>,
    /// When the last request that tells was published: those that do not tell count as of then.
    clock: Option<Timestamp>,
    /// The end of the range by the broker's clock, once it was asked for.
    until_offset: Option<u64>,
    /// Where, by the broker's clock, nothing more of the range can come, once it was asked for.
    beyond_offset: Option<u64>,
    /// Whether it is known that something is still to come.
    is_sure: bool,
    unacked: u32,
}

impl Reader {
    /// Opens `stream` over a connection that is named `name` at the broker.
    ///
    /// # Errors
    /// See [`JournalError`]. A stream that was read before and sends nothing now is [`JournalError::Silent`].
    pub async fn open(broker: &Broker, name: &str, stream: &str, range: Range) -> Result<Self, JournalError> {
        let connection = connect(broker, name, Frames::Large).await?;
        let lost = outlived(&connection);
        tokio::select! {
            reader = Self::begin(connection, stream, range) => reader,
            () = lost => Err(LinkError::ChannelClosed.into()),
        }
    }

    async fn begin(connection: Connection, stream: &str, range: Range) -> Result<Self, JournalError> {
        if counts(&connection, stream).await?.is_none() {
            return Err(JournalError::Missing { stream: stream.to_owned() });
        }
        let tail = tail::find(&connection, stream).await?;
        if tail.is_none() && range.resume_at.is_some() {
            return Err(JournalError::Silent { stream: stream.to_owned() });
        }
        let from = range
            .resume_at
            .map_or_else(|| Offset::Time(range.since.checked_sub(SKEW).unwrap_or(range.since)), Offset::Number);
        let (channel, consumer) = subscribe(&connection, stream, from).await?;
        Ok(Self {
            connection,
            channel,
            consumer,
            stream: stream.to_owned(),
            range,
            tail: tail.filter(|tail| range.resume_at.is_none_or(|place| place <= tail.last)),
            clock: None,
            until_offset: None,
            beyond_offset: None,
            is_sure: range.resume_at.is_some(),
            unacked: 0,
        })
    }

    /// Whether there is nothing more to read. Before the first [`Reader::next`]: nothing to begin with.
    #[must_use]
    pub fn is_at_end(&self) -> bool {
        self.tail.is_none()
    }

    /// The next request of the range; `None` at its end. A request that was tried again or replayed comes again, see
    /// [`Entry::is_original`].
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn next(&mut self) -> Result<Option<Entry>, JournalError> {
        let lost = outlived(&self.connection);
        tokio::select! {
            entry = self.find() => entry,
            () = lost => Err(LinkError::ChannelClosed.into()),
        }
    }

    async fn find(&mut self) -> Result<Option<Entry>, JournalError> {
        while let Some(tail) = self.tail {
            let mut entry = self.take().await?;
            self.clock = entry.published_at.or(self.clock);
            entry.published_at = self.clock;
            let place = self.place(&entry, tail).await?;
            if entry.offset >= tail.last || place == Place::Beyond {
                self.tail = None;
            }
            if place == Place::Within && entry.offset <= tail.last {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    /// Ends it in order.
    pub async fn close(self) {
        let farewell = self.connection.close(200, "read".into());
        let _ = tokio::time::timeout(FAREWELL, farewell).await;
    }

    async fn take(&mut self) -> Result<Entry, JournalError> {
        let patience = if self.is_sure { KNOWN } else { FIRST };
        let mut waited = tokio::time::timeout(patience, self.consumer.next()).await;
        if waited.is_err() && !self.is_sure {
            // By the broker's clock all was written before the range, or it is slow. By the senders' clocks some of it may
            // be in the range all the same.
            (self.channel, self.consumer) = subscribe(&self.connection, &self.stream, Offset::First).await?;
            waited = tokio::time::timeout(KNOWN, self.consumer.next()).await;
        }
        let delivery = waited.map_err(|_| JournalError::Silent { stream: self.stream.clone() })?;
        self.is_sure = true;
        let delivery = delivery.ok_or_else(|| LinkError::Cancelled { queue: self.stream.clone() })??;
        self.unacked += 1;
        if self.unacked >= ACK_EVERY {
            self.channel.basic_ack(delivery.delivery_tag, BasicAckOptions { multiple: true }).await?;
            self.unacked = 0;
        }
        Ok(Entry::from(delivery))
    }

    async fn place(&mut self, entry: &Entry, tail: Tail) -> Result<Place, JournalError> {
        let resumed = self.range.resume_at.is_none_or(|offset| entry.offset >= offset);
        let place = match self.clock {
            Some(at) => self.range.place(at),
            None => {
                let is_within = entry.offset < self.until_offset(tail).await?;
                if is_within { Place::Within } else { Place::Beyond }
            }
        };
        Ok(match place {
            Place::Within if !resumed => Place::Outside,
            // A single clock that is wrong must not end it.
            Place::Beyond if entry.offset < self.beyond_offset(tail).await? => Place::Outside,
            place => place,
        })
    }

    /// Where the range ends for requests that do not tell when they were published.
    async fn until_offset(&mut self, tail: Tail) -> Result<u64, JournalError> {
        if let Some(offset) = self.until_offset {
            return Ok(offset);
        }
        // The stream is looked up by whole seconds, and the range includes its last.
        let offset = self.first_after(SignedDuration::from_secs(1), tail).await?;
        self.until_offset = Some(offset);
        Ok(offset)
    }

    /// Where no clock can be so wrong that something of the range comes.
    async fn beyond_offset(&mut self, tail: Tail) -> Result<u64, JournalError> {
        if let Some(offset) = self.beyond_offset {
            return Ok(offset);
        }
        let offset = self.first_after(SKEW, tail).await?;
        self.beyond_offset = Some(offset);
        Ok(offset)
    }

    /// The first place that was written, by the broker's clock, so long after the range or later.
    async fn first_after(&self, time: SignedDuration, tail: Tail) -> Result<u64, JournalError> {
        let after = self.range.until.checked_add(time).unwrap_or(Timestamp::MAX);
        let later = tail::first(&self.connection, &self.stream, Offset::Time(after)).await?;
        Ok(later.unwrap_or(tail.last + 1))
    }
}

/// Where a subscription begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Offset {
    /// At the beginning.
    First,
    /// At the last part of the stream that was written in one go.
    Last,
    /// At this place.
    Number(u64),
    /// At the part that was written at this time, by the broker's clock, or at the next.
    Time(Timestamp),
}

impl Offset {
    fn value(self) -> AMQPValue {
        match self {
            Self::First => AMQPValue::LongString("first".into()),
            Self::Last => AMQPValue::LongString("last".into()),
            Self::Number(number) => AMQPValue::LongLongInt(i64::try_from(number).unwrap_or(i64::MAX)),
            Self::Time(time) => AMQPValue::Timestamp(u64::try_from(time.as_second()).unwrap_or_default()),
        }
    }
}

/// Whether there is anything in a stream, by its count or by reading it: what the broker counts of one is an estimate, and
/// may be 0 for a moment though there is; and a slow broker sends nothing for a moment.
pub(crate) async fn holds_any(connection: &Connection, stream: &str) -> lapin::Result<bool> {
    if counts(connection, stream).await?.is_some_and(|counts| counts.ready > 0) {
        return Ok(true);
    }
    let (channel, mut consumer) = subscribe(connection, stream, Offset::First).await?;
    let first = tokio::time::timeout(FIRST, consumer.next()).await;
    let _ = tokio::time::timeout(FAREWELL, channel.close(200, "seen".into())).await;
    // One that is gone by now holds nothing either.
    let Ok(Some(first)) = first else { return Ok(false) };
    first.map(|_| true)
}

async fn subscribe(connection: &Connection, stream: &str, from: Offset) -> lapin::Result<(Channel, Consumer)> {
    let channel = open_channel(connection).await?;
    channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
    let mut arguments = FieldTable::default();
    arguments.insert("x-stream-offset".into(), from.value());
    let consuming = channel.basic_consume(stream.into(), "".into(), BasicConsumeOptions::default(), arguments);
    let consumer = consuming.await?;
    Ok((channel, consumer))
}

//! Where a stream ends.

use super::{FAREWELL, FIRST, JournalError, Offset, subscribe};
use crate::{link::LinkError, message::Incoming, topology::check};
use futures::StreamExt as _;
use lapin::{Channel, Connection, Consumer, options::BasicAckOptions};
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// No more comes for so long behind what came: that was the last. All that the broker has at that moment it sends in one
/// go.
const QUIET: Duration = Duration::from_secs(1);
/// While requests go on coming in, what came within this time is the end.
const ENOUGH: Duration = Duration::from_secs(3);

/// The end of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tail {
    /// The last that was there.
    pub last: u64,
}

/// The end of the stream as of now; `None` when it seems to be empty: it sends nothing, which a slow broker does, too. What
/// it counts of a stream tells no more, for that may be 0 for a moment though there is something.
pub(super) async fn find(connection: &Connection, stream: &str) -> Result<Option<Tail>, JournalError> {
    let (channel, mut consumer) = subscribe(connection, stream, Offset::Last).await?;
    let tail = match next(&channel, &mut consumer, stream, FIRST).await? {
        None => None,
        Some(first) => Some(Tail { last: read_on(connection, &channel, &mut consumer, stream, first).await? }),
    };
    close(&channel).await;
    Ok(tail)
}

/// The first place at or behind `from`, if there is any yet.
pub(super) async fn first(connection: &Connection, stream: &str, from: Offset) -> Result<Option<u64>, JournalError> {
    let (channel, mut consumer) = subscribe(connection, stream, from).await?;
    let first = next(&channel, &mut consumer, stream, FIRST).await?;
    close(&channel).await;
    Ok(first)
}

/// Reads until nothing more comes, though the broker answers.
async fn read_on(
    connection: &Connection,
    channel: &Channel,
    consumer: &mut Consumer,
    stream: &str,
    first: u64,
) -> Result<u64, JournalError> {
    let (begun, mut last) = (Instant::now(), first);
    while begun.elapsed() < ENOUGH {
        match next(channel, consumer, stream, QUIET).await? {
            Some(offset) => last = last.max(offset),
            None => {
                check::counts(connection, stream).await?;
                break;
            }
        }
    }
    Ok(last)
}

/// Acknowledged over the channel: lapin's `Delivery::ack` may never end when the connection is lost meanwhile.
async fn next(
    channel: &Channel,
    consumer: &mut Consumer,
    stream: &str,
    patience: Duration,
) -> Result<Option<u64>, JournalError> {
    let Ok(delivery) = timeout(patience, consumer.next()).await else { return Ok(None) };
    let delivery = delivery.ok_or_else(|| LinkError::Cancelled { queue: stream.to_owned() })??;
    channel.basic_ack(delivery.delivery_tag, BasicAckOptions::default()).await?;
    Ok(Incoming(&delivery.properties).stream_offset())
}

async fn close(channel: &Channel) {
    let _ = timeout(FAREWELL, channel.close(200, "seen".into())).await;
}

//! Another channel in place of one on which everything is refused.
//!
//! Mostly the queue is full, and the next channel is refused as well. But a channel can also go on refusing by itself: at
//! its first message, RabbitMQ 3.10's rabbit_fifo_client registers it with the leader of the quorum queue, and if that
//! node is down just then, every message is refused for as long as it is, whoever has been elected meanwhile. (Seen in a
//! campaign on three nodes: five minutes, until the killed node was started again; a new channel to the same node was
//! confirmed at once.) Nothing on AMQP tells the two apart.

use crate::link::open_channel;
use futures::{FutureExt as _, future::BoxFuture};
use lapin::{Channel, Connection, options::ConfirmSelectOptions};

/// Opens a channel beside the work: in an alarm, that can take as long as the alarm.
pub(super) struct Renewal<'a> {
    connection: &'a Connection,
    opening: Option<BoxFuture<'a, lapin::Result<Channel>>>,
}

impl<'a> Renewal<'a> {
    pub(super) fn new(connection: &'a Connection) -> Self {
        Self { connection, opening: None }
    }

    /// Begins to open one, if none is being opened.
    pub(super) fn begin(&mut self) {
        let connection = self.connection;
        self.opening.get_or_insert_with(|| confirming(connection).boxed());
    }

    /// The channel that was begun, once it is open; never ends if none was.
    pub(super) async fn opened(&mut self) -> lapin::Result<Channel> {
        let Some(opening) = &mut self.opening else { return std::future::pending().await };
        let opened = opening.await;
        self.opening = None;
        opened
    }
}

/// A channel in confirm mode.
pub(super) async fn confirming(connection: &Connection) -> lapin::Result<Channel> {
    let channel = open_channel(connection).await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    Ok(channel)
}

//! How many messages wait in many queues, asked all at once.
//!
//! A passive declare per queue, pipelined over a few channels: 500 take about 50 ms. The answer to a queue that is missing,
//! or not for this user, closes its channel and takes the answers behind it along, so what is left is asked in halves until
//! that one stands alone.

use super::check::is_of_one_object;
use crate::link::{open_channel, pipelined};
use futures::future::{BoxFuture, FutureExt as _, try_join_all};
use lapin::{Channel, Connection, options::QueueDeclareOptions, types::FieldTable};
use std::collections::HashMap;

/// Channels that are used at a time: RabbitMQ answers the queues of one channel one after the other.
const LANES: usize = 4;

/// Questions on the way on one channel: thousands at once are no faster, and take memory.
const ASKED: usize = 64;

/// Ready messages by queue. A queue that does not exist, or that this user may not see, is not in it.
pub type Depths = HashMap<String, u64>;

/// Channels on which depths are asked for again and again.
#[derive(Default)]
pub struct Lanes([Lane; LANES]);

/// A channel, for as long as the broker does not close it.
#[derive(Default)]
struct Lane(Option<Channel>);

impl Lanes {
    /// Asks for `queues`.
    ///
    /// # Errors
    /// The connection is of no more use.
    pub async fn survey(&mut self, connection: &Connection, queues: &[String]) -> lapin::Result<Depths> {
        let each = queues.len().div_ceil(LANES).max(1);
        let asked = self.0.iter_mut().zip(queues.chunks(each)).map(|(lane, queues)| lane.ask(connection, queues));
        Ok(try_join_all(asked).await?.into_iter().flatten().collect())
    }
}

impl Lane {
    fn ask<'a>(
        &'a mut self,
        connection: &'a Connection,
        queues: &'a [String],
    ) -> BoxFuture<'a, lapin::Result<Vec<(String, u64)>>> {
        async move {
            let channel = self.channel(connection).await?;
            match depths(&channel, queues).await {
                Ok(depths) => return Ok(depths),
                Err(error) if is_of_one_object(&error) => self.0 = None,
                Err(error) => return Err(error),
            }
            if queues.len() == 1 {
                return Ok(Vec::new());
            }
            let (first, second) = queues.split_at(queues.len() / 2);
            let mut depths = self.ask(connection, first).await?;
            depths.extend(self.ask(connection, second).await?);
            Ok(depths)
        }
        .boxed()
    }

    async fn channel(&mut self, connection: &Connection) -> lapin::Result<Channel> {
        if let Some(channel) = self.0.as_ref().filter(|channel| channel.status().connected()) {
            return Ok(channel.clone());
        }
        let channel = open_channel(connection).await?;
        self.0 = Some(channel.clone());
        Ok(channel)
    }
}

async fn depths(channel: &Channel, queues: &[String]) -> lapin::Result<Vec<(String, u64)>> {
    let mut depths = Vec::with_capacity(queues.len());
    for some in queues.chunks(ASKED) {
        depths.extend(pipelined(some.iter().map(|queue| depth(channel, queue)).collect()).await?);
    }
    Ok(depths)
}

async fn depth(channel: &Channel, queue: &str) -> lapin::Result<(String, u64)> {
    let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let found = channel.queue_declare(queue.into(), options, FieldTable::default()).await?;
    Ok((queue.to_owned(), found.message_count().into()))
}

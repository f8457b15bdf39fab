//! Listening to the workers' reports of many pipelines.

use super::{STATS_KEY, check::is_of_one_object};
use crate::link::{open_channel, pipelined};
use futures::future::{BoxFuture, FutureExt as _};
use lapin::{
    Channel, Connection, Consumer,
    options::{BasicConsumeOptions, QueueBindOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable, ShortString},
};

/// Reports that waited this long, in milliseconds, are worth nothing any more.
const WORTHLESS_AFTER: i32 = 5_000;
/// More reports than this wait only when the reader is far behind; the oldest go.
const MOST_REPORTS: i32 = 20_000;

/// A queue for reports, gone with its connection.
pub struct ReportQueue {
    name: ShortString,
    /// Delivers the reports of all exchanges that were bound.
    pub consumer: Consumer,
}

impl ReportQueue {
    /// Opens one that is bound to nothing yet, named after the first of the exchanges for which the broker allows that:
    /// users whose rights end at their pipelines' names may have it too.
    ///
    /// # Errors
    /// The broker refuses all of them, or the connection is of no more use.
    pub async fn open(connection: &Connection, exchanges: &[String]) -> lapin::Result<Self> {
        let (last, others) = exchanges.split_last().map_or(("warren", exchanges), |(last, others)| (last, others));
        for exchange in others {
            match Self::named_after(connection, exchange).await {
                Err(error) if is_of_one_object(&error) => {}
                answer => return answer,
            }
        }
        Self::named_after(connection, last).await
    }

    async fn named_after(connection: &Connection, exchange: &str) -> lapin::Result<Self> {
        // Another operator, or this one's last connection, may still have its own.
        let name = format!("{exchange}.scaling.{}", jiff::Timestamp::now().as_nanosecond());
        let channel = open_channel(connection).await?;
        let options = QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
        let mut arguments = FieldTable::default();
        arguments.insert("x-message-ttl".into(), AMQPValue::LongInt(WORTHLESS_AFTER));
        arguments.insert("x-max-length".into(), AMQPValue::LongInt(MOST_REPORTS));
        let name = channel.queue_declare(name.into(), options, arguments).await?.name().clone();
        let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
        let consumer = channel.basic_consume(name.clone(), "".into(), options, FieldTable::default()).await?;
        Ok(Self { name, consumer })
    }

    /// Binds it to `exchanges`; those that do not exist, or that this user may not read, are left out.
    ///
    /// # Errors
    /// The connection is of no more use.
    pub fn bind<'a>(&'a self, connection: &'a Connection, exchanges: &'a [String]) -> BoxFuture<'a, lapin::Result<()>> {
        async move {
            // A channel of their own: a refusal closes it.
            let channel = open_channel(connection).await?;
            match pipelined(exchanges.iter().map(|exchange| self.bind_one(&channel, exchange)).collect()).await {
                Ok(_) => return channel.close(200, "bound".into()).await,
                Err(error) if is_of_one_object(&error) => {}
                Err(error) => return Err(error),
            }
            if exchanges.len() > 1 {
                let (first, second) = exchanges.split_at(exchanges.len() / 2);
                self.bind(connection, first).await?;
                self.bind(connection, second).await?;
            }
            Ok(())
        }
        .boxed()
    }

    /// Takes the binding to `exchange` away, so that nothing of ours keeps it from being deleted.
    ///
    /// # Errors
    /// The connection is of no more use.
    pub async fn unbind(&self, connection: &Connection, exchange: &str) -> lapin::Result<()> {
        let (channel, key) = (open_channel(connection).await?, STATS_KEY.into());
        channel.queue_unbind(self.name.clone(), exchange.into(), key, FieldTable::default()).await?;
        channel.close(200, "unbound".into()).await
    }

    async fn bind_one(&self, channel: &Channel, exchange: &str) -> lapin::Result<()> {
        let options = QueueBindOptions::default();
        channel.queue_bind(self.name.clone(), exchange.into(), STATS_KEY.into(), options, FieldTable::default()).await
    }
}

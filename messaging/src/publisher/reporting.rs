//! A worker's reports, apart from what is confirmed, and the orders that come back.

use crate::{
    link::{LinkError, open_channel},
    message::{self, Order, Report},
    topology::orders,
};
use futures::{FutureExt as _, StreamExt as _, future::BoxFuture};
use lapin::{Channel, Connection, Consumer, options::BasicPublishOptions};
use std::sync::Arc;
use tokio::sync::Notify;

/// How a publisher's worker is spoken to.
#[derive(Clone, Default)]
pub struct Contact {
    /// Publishes a report at once, rather than at the next second.
    pub report: Arc<Notify>,
    /// Takes orders; without, the worker has no address.
    pub orders: Option<Arc<dyn Fn(Order) + Send + Sync>>,
}

/// The channel of one connection's reports, and the one report that is being sent.
pub(super) struct Reporting {
    channel: Channel,
    exchange: Arc<str>,
    contact: Contact,
    incoming: Option<Consumer>,
    sending: Option<BoxFuture<'static, lapin::Result<()>>>,
}

/// What became of waiting for something.
pub(super) enum Turn {
    /// Somebody asked for a report.
    Wanted,
    /// Nothing that the caller has to do.
    Done,
}

impl Reporting {
    pub(super) async fn open(connection: &Connection, exchange: Arc<str>, contact: Contact) -> lapin::Result<Self> {
        let channel = open_channel(connection).await?;
        let incoming = match contact.orders {
            Some(_) => Some(orders::listen(&channel).await?),
            None => None,
        };
        Ok(Self { channel, exchange, contact, incoming, sending: None })
    }

    /// Begins to send a report, unless another is being sent.
    pub(super) fn send(&mut self, report: impl FnOnce() -> Report) {
        if self.sending.is_none() {
            self.sending =
                Some(publish(self.channel.clone(), self.exchange.clone(), report(), self.incoming.is_some()));
        }
    }

    /// Waits for whatever comes next: a report to be sent, an order, somebody who wants a report.
    pub(super) async fn next(&mut self) -> Result<Turn, LinkError> {
        let Self { contact, incoming, sending, .. } = self;
        let (is_sending, hears) = (sending.is_some(), incoming.is_some());
        tokio::select! {
            sent = async { sending.as_mut().expect("is checked").await }, if is_sending => {
                *sending = None;
                sent?;
                Ok(Turn::Done)
            }
            // Not while one is sent: it may say what was true before.
            () = contact.report.notified(), if !is_sending => Ok(Turn::Wanted),
            order = async { incoming.as_mut().expect("is checked").next().await }, if hears => {
                let order = order.ok_or(LinkError::ChannelClosed)??;
                if let (Ok(order), Some(orders)) = (message::read(&order.data), &contact.orders) {
                    orders(order);
                }
                Ok(Turn::Done)
            }
        }
    }
}

/// Reports need no confirms.
fn publish(
    channel: Channel,
    exchange: Arc<str>,
    report: Report,
    has_address: bool,
) -> BoxFuture<'static, lapin::Result<()>> {
    async move {
        let message = report.to_message();
        let properties = if has_address { orders::with_address(message.properties) } else { message.properties };
        let (key, options) = (message.routing_key.as_str().into(), BasicPublishOptions::default());
        channel.basic_publish((&*exchange).into(), key, options, &message.body, properties).await.map(drop)
    }
    .boxed()
}

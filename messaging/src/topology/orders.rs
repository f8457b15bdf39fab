//! Where a worker can be spoken to: RabbitMQ's direct reply-to, so that no queue is needed for it.
//!
//! A worker consumes a queue that does not exist and publishes its reports with that queue's name as `reply_to`; the
//! broker puts an address in its place that leads to this worker's channel alone, from any connection, until the channel
//! ends. What is published to an address that leads nowhere any more is dropped.

use crate::message::Order;
use lapin::{
    BasicProperties, Channel, Consumer,
    options::{BasicConsumeOptions, BasicPublishOptions},
    types::FieldTable,
};

/// What a worker consumes, and names in its reports.
const REPLY_TO: &str = "amq.rabbitmq.reply-to";
/// The longest that AMQP has for it, in bytes.
const LONGEST: usize = 255;

/// Listens for orders. Before the first report of [`with_address`] on this channel: the broker refuses that otherwise.
///
/// # Errors
/// The broker refuses, or the channel is of no more use.
pub async fn listen(channel: &Channel) -> lapin::Result<Consumer> {
    let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
    channel.basic_consume(REPLY_TO.into(), "".into(), options, FieldTable::default()).await
}

/// A message's properties, with the sender's address.
#[must_use]
pub fn with_address(properties: BasicProperties) -> BasicProperties {
    properties.with_reply_to(REPLY_TO.into())
}

/// The address that a report came with; anything else there could be any queue.
#[must_use]
pub fn address(properties: &BasicProperties) -> Option<String> {
    let text = properties.reply_to().as_ref()?.as_str();
    let token = text.strip_prefix(REPLY_TO)?.strip_prefix('.')?;
    (!token.is_empty() && text.len() <= LONGEST).then(|| text.to_owned())
}

/// Gives an order.
///
/// # Errors
/// The channel is of no more use. Whether the worker got it, only its reports tell.
pub async fn give(channel: &Channel, address: &str, order: Order) -> lapin::Result<()> {
    let message = order.to_message(address);
    let (key, options) = (message.routing_key.as_str().into(), BasicPublishOptions::default());
    channel.basic_publish("".into(), key, options, &message.body, message.properties).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_broker_made_is_an_address() {
        let given = |text: &str| address(&BasicProperties::default().with_reply_to(text.into()));
        assert_eq!(given("amq.rabbitmq.reply-to.g1h2AA"), Some("amq.rabbitmq.reply-to.g1h2AA".into()));
        for other in ["amq.rabbitmq.reply-to", "amq.rabbitmq.reply-to.", "p.requests", ""] {
            assert_eq!(given(other), None, "{other}");
        }
        assert_eq!(address(&BasicProperties::default()), None);
    }
}

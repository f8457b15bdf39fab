//! The limit for submits: lapin alone, on one channel in confirm mode.

use crate::load::Lane;
use anyhow::bail;
use lapin::{BasicProperties, Channel, Confirmation, options::BasicPublishOptions};
use std::sync::Arc;

/// Publishes one message and waits for its confirm.
pub async fn publish(
    channel: &Channel,
    exchange: &str,
    key: &str,
    body: &[u8],
    properties: BasicProperties,
) -> anyhow::Result<()> {
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    match channel.basic_publish(exchange.into(), key.into(), options, body, properties).await?.await? {
        Confirmation::Ack(None) => Ok(()),
        refused => bail!("RabbitMQ refused a message for `{key}`: {refused:?}"),
    }
}

/// Properties with nothing in them but that the message is persistent.
pub fn persistent() -> BasicProperties {
    BasicProperties::default().with_delivery_mode(2)
}

/// One message in flight at a time.
#[derive(Clone)]
pub struct BareLane {
    /// Shared by all lanes.
    pub channel: Channel,
    /// Where to.
    pub exchange: Arc<str>,
    /// With which key.
    pub key: &'static str,
    /// What.
    pub body: Arc<[u8]>,
}

impl Lane for BareLane {
    async fn once(&mut self) -> anyhow::Result<()> {
        publish(&self.channel, &self.exchange, self.key, &self.body, persistent()).await
    }
}

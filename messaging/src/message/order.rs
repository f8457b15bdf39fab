//! What the operator asks of a single worker, at the address that the worker's reports name (see
//! [`crate::topology::orders`]). Transient, and never load-bearing: a worker to which it does not get goes on.

use super::{Outgoing, properties, to_json};
use crate::duration;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// An order to one worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    /// For how long the worker is to take no requests, from when it gets this; a worker that has some in work goes on.
    /// Nothing (`0s`) ends an order that was given before.
    #[serde(with = "duration::text")]
    pub take_nothing_for: Duration,
}

impl Order {
    /// Its message to the default exchange, for whoever listens at `address`: neither persistent nor mandatory.
    #[must_use]
    pub fn to_message(self, address: &str) -> Outgoing {
        Outgoing {
            routing_key: address.into(),
            body: to_json(&self),
            properties: properties("order", None).with_delivery_mode(1),
            mandatory: false,
            passed_on: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_as_documented() {
        let order = Order { take_nothing_for: Duration::from_secs(10) };
        let message = order.to_message("amq.rabbitmq.reply-to.x");
        assert_eq!(message.body, br#"{"takeNothingFor":"10s"}"#);
        assert_eq!(serde_json::from_slice::<Order>(&message.body).expect("is read"), order);
    }
}

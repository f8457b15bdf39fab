//! The node against the RabbitMQ that is installed here.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod cluster;
mod durability;
mod lifetime;
mod refusals;

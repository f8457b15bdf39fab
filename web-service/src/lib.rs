//! Warren's web side: accepts requests over HTTP, queues them on RabbitMQ, and keeps their results.
//!
//! A request is answered with 202 only after RabbitMQ confirmed it and the [`store`] recorded it; a result is
//! acknowledged only after the store committed it.

pub mod api;
pub mod dead_letter;
pub mod journal;
pub mod listen;
pub mod metrics;
pub mod missing;
pub mod record;
pub mod replay;
pub mod results;
pub mod retention;
pub mod service;
pub mod settings;
pub mod store;
pub mod waiters;

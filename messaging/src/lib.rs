//! What Warren's web side, processor and operator share: where messages go ([`topology`]), what they say
//! ([`message`]), when they are tried again ([`retry`]), and a connection to RabbitMQ that comes back by
//! itself ([`link`]).
//!
//! Nothing here knows Kubernetes or HTTP.

pub mod broker;
pub mod broker_url;
pub mod duration;
pub mod error_chain;
pub mod files;
pub mod journal;
pub mod link;
pub mod logging;
pub mod message;
#[cfg(test)]
mod properties;
pub mod publisher;
pub mod request_id;
pub mod retry;
pub mod settings;
pub mod shutdown;
pub mod topology;

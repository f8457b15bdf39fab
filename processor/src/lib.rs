//! Takes requests from a pipeline's queue, runs a handler on each, and publishes the outcome.
//!
//! The binary `warren-processor` brings handlers for a command, an HTTP server and the demo. As a library this
//! crate turns a [`Handler`] of your own into the same worker: write the handler, parse [`WorkerSettings`]
//! and call [`run`]; `examples/uppercase.rs` is a whole program. Retries, dead letters, reconnection,
//! draining at SIGTERM, health and metrics come with it.
//!
//! A request is acknowledged only after its outcome is safely on a queue. So each is worked on at least once,
//! and a handler may see one again after a crash: make it idempotent by [`Work::request_id`].

mod attempt;
mod consume;
mod cordon;
mod decision;
mod demo;
mod excerpt;
mod exec;
mod giving_back;
mod handler;
mod health;
mod http;
mod isolation;
mod lease;
mod listen;
mod outcome;
mod publishing;
mod run;
mod settings;
mod tally;
mod work;
mod worker;

pub mod builtin;
pub mod handler_settings;
pub mod install;

pub use handler::Handler;
pub use listen::Listen;
pub use outcome::Outcome;
pub use run::{RunError, run, run_until};
pub use settings::WorkerSettings;
pub use warren_messaging::logging::LogSettings;
pub use work::Work;

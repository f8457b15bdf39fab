//! Real servers for the tests of every crate, and what tests need around them: faults in the network, programs that
//! can be killed, and conditions to wait for. For tests only: what goes wrong panics, and says what was seen.
//!
//! - [`broker`]: one RabbitMQ per test run, a virtual host per test
//! - [`postgres`]: one PostgreSQL per test run, a database per test
//! - [`cluster`]: one Kubernetes per test run, a namespace per test
//! - [`eventually`](eventually()): waits for a condition, with a deadline
//! - [`proxy`]: a TCP proxy that can be cut
//! - [`inputs`]: inputs for the properties of decoders
//! - [`previous`]: the programs of the commit before
//! - [`program`]: one of the project's binaries as a child process
//!
//! `cargo run -p warren-testkit -- run -- cargo test` starts the servers once for all test binaries; without it each
//! test binary starts its own when a test first needs one.

mod away;
pub mod broker;
pub mod cluster;
pub mod eventually;
#[cfg(feature = "inputs")]
pub mod inputs;
pub mod postgres;
pub mod previous;
pub mod program;
pub mod proxy;
mod scratch;

pub use eventually::eventually;
pub use warren_rabbitmq_node::free_port;

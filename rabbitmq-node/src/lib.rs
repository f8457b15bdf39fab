//! A private RabbitMQ node as a child process: its own ports on loopback, its own directory, its own `epmd`.
//!
//! Nothing of it touches a RabbitMQ that the machine runs already, nothing of it is left behind when it stops, and
//! what it stored is there again when it is started on the same directory. `local` keeps its queues in one; tests
//! start one per run.
//!
//! ```no_run
//! # async fn example() -> Result<(), warren_rabbitmq_node::NodeError> {
//! use warren_rabbitmq_node::{Node, Settings};
//!
//! let mut node = Node::start(Settings::new("rabbitmq")).await?;
//! println!("{}", node.url());
//! node.stop().await?;
//! # Ok(())
//! # }
//! ```

mod answer;
mod command;
mod config;
mod directory;
mod error;
mod group;
mod guard;
mod install;
mod node;
mod port_mapper;
mod ports;
mod processes;
mod settings;

pub use error::NodeError;
pub use node::Node;
pub use port_mapper::PortMapper;
pub use ports::{Ports, free_port};
pub use settings::{Member, Settings, Tls};

//! The subcommands of `warren-operator` that need no server.

pub mod crd;
pub mod render;

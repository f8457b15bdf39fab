//! The subcommands of `warren-operator`, but for `local`.

pub mod crd;
pub mod dead_letters;
pub mod journal;
pub mod probe;
pub mod render;
pub mod run;

//! Records in a file of this machine.

mod open;
#[cfg(test)]
mod plan;
mod write;

pub(super) use open::open;
#[cfg(test)]
pub(super) use plan::looks_at_few;
pub(super) use write::Sqlite;

//! Records in a file of this machine.

mod open;
mod write;

pub(super) use open::open;
pub(super) use write::Sqlite;

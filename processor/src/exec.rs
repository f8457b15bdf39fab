//! Runs a command: once per request ([`per_message`]), or as a companion that answers line by line ([`stream`]).

mod answer;
mod child;
pub(crate) mod command;
pub(crate) mod last_words;
pub(crate) mod per_message;
#[cfg(test)]
mod properties;
pub(crate) mod stream;

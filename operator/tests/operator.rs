//! The operator as its users meet it: the examples, the generated definition, and the command line.

mod cluster;
mod command_line;
mod definition;
mod examples;
mod local;
mod sides;

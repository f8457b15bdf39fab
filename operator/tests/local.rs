//! `warren-operator local` as a child process, with real workers and a real RabbitMQ.

mod database;
mod dead_letters;
mod edits;
mod faults;
mod handlers;
mod journal;
mod lifetime;
mod refusals;
mod running;
mod scaling;
mod strays;
mod thousand;

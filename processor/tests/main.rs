//! The worker and its handlers against the real thing: RabbitMQ, processes, HTTP servers.

mod broker_life;
mod classic;
mod cordon;
mod crash;
mod drain;
mod exec;
mod handlers;
mod health;
mod http;
mod options;
mod outage;
mod pipeline;
mod poison;
mod requests;
mod retries;
mod stream;
mod worker;

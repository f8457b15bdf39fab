//! The web side against real RabbitMQ nodes and real files.

mod broker_faults;
mod fixture;
mod records;
mod refusals;
mod start_and_stop;
mod store_faults;

//! The web side against real RabbitMQ nodes, real files and real PostgreSQL databases.

mod broker_faults;
mod database_faults;
mod fixture;
mod records;
mod refusals;
mod replays;
mod replicas;
mod start_and_stop;
mod store;
mod store_faults;

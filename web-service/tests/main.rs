//! The web side against real RabbitMQ nodes, real files and real PostgreSQL databases.

mod alarm;
mod broker_faults;
mod broker_life;
mod database_faults;
mod fixture;
mod given_up;
mod journal;
mod limits;
mod missing;
mod properties;
mod records;
mod refusals;
mod replays;
mod replicas;
mod start_and_stop;
mod store;
mod store_faults;
mod store_life;
mod store_reads;

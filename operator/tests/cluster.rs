//! `warren-operator run` against a real Kubernetes, with real workers in Pods and a real RabbitMQ. Each test has a
//! namespace, a virtual host and an operator of its own. Without a cluster they are left out, except in CI.

mod brokers;
mod crd;
mod database;
mod dead_letters;
mod deletion;
mod drift;
mod helm;
mod journey;
mod leader;
mod migration;
mod pods;
mod rights;
mod scaling;
mod scaling_faults;
mod site;
mod status;

//! `stats`: what a worker says of itself each second, and when something changes that cannot wait. Transient; unbound it costs the broker nothing.

use super::{Outgoing, properties, to_json};
use crate::topology;
use serde::{Deserialize, Serialize};

/// A worker's own figures. Counters are cumulative since its start: take two and divide by your own clock.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The worker's name: its Pod or process.
    pub worker: String,
    /// Which side it belongs to.
    pub role: Role,
    /// Messages in work.
    pub in_flight: u64,
    /// Messages it can have in work at once.
    pub capacity: u64,
    /// Messages that left it with an outcome.
    pub processed_total: u64,
    /// Seconds spent in handlers, summed over messages.
    pub busy_seconds_total: f64,
    /// Whether it takes nothing more: it ends once nothing is in work, or was asked to hold back for a while.
    #[serde(default)]
    pub draining: bool,
    /// Whether it says so because something began after a rest, rather than by the clock: who scales by reports need
    /// not wait for the next second.
    #[serde(default)]
    pub wake: bool,
}

/// A side of the pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Accepts requests and keeps results.
    Web,
    /// Runs handlers.
    Processor,
}

impl Report {
    /// That of a web side which has submitted so many requests. It has nothing in work.
    #[must_use]
    pub fn of_web(worker: impl Into<String>, processed_total: u64) -> Self {
        Self {
            worker: worker.into(),
            role: Role::Web,
            in_flight: 0,
            capacity: 0,
            processed_total,
            busy_seconds_total: 0.0,
            draining: false,
            wake: false,
        }
    }

    /// Its message: neither persistent nor mandatory.
    #[must_use]
    pub fn to_message(&self) -> Outgoing {
        Outgoing {
            routing_key: topology::STATS_KEY.into(),
            body: to_json(self),
            properties: properties("stats", None).with_delivery_mode(1),
            mandatory: false,
            passed_on: false,
        }
    }
}

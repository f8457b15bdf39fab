//! What Prometheus scrapes of scaling. A pipeline's figures go when it is not scaled any more.

use super::Title;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};
use std::{sync::atomic::AtomicU64, time::Duration};
use warren_scaling::{Decision, Memory, Observation};

/// Upper bounds in seconds: from a wake-up on an idle machine to a loop that has fallen behind.
const BUCKETS: [f64; 10] = [0.005, 0.01, 0.03, 0.1, 0.3, 1.0, 2.0, 5.0, 10.0, 30.0];

/// Scaling's metrics.
pub struct Metrics {
    figures: [Figure; 7],
    decisions: Family<Because, Counter>,
    write: Histogram,
    lag: Histogram,
    busy_stops: Counter,
}

/// Name, help and values of a figure that each pipeline has.
type Figure = (&'static str, &'static str, Family<Pipeline, Gauge<f64, AtomicU64>>);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Pipeline {
    namespace: String,
    pipeline: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Because {
    reason: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        let family = Family::default;
        Self {
            figures: [
                ("desired_replicas", "Processors that there should be", family()),
                ("current_replicas", "Processors that are asked for", family()),
                ("ready_replicas", "Processors that are ready", family()),
                ("waiting_requests", "Requests that wait for a processor", family()),
                ("unacked_requests", "Requests in work, by the processors' reports", family()),
                ("arrivals_per_second", "Requests that come, estimated", family()),
                ("completions_per_second", "Requests that end, estimated", family()),
            ],
            decisions: Family::default(),
            write: Histogram::new(BUCKETS),
            lag: Histogram::new(BUCKETS),
            busy_stops: Counter::default(),
        }
    }
}

impl Metrics {
    /// Adds all of them to what is scraped.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("scaling");
        for (name, help, family) in &self.figures {
            registry.register(*name, *help, family.clone());
        }
        registry.register("decisions", "Decisions, by the rule that bound them", self.decisions.clone());
        let help = "From a decision to the answer of who carries it out";
        registry.register_with_unit("write", help, Unit::Seconds, self.write.clone());
        let help = "From when a look at all queues was due to the decisions made on it";
        registry.register_with_unit("loop_lag", help, Unit::Seconds, self.lag.clone());
        let help = "Processors that were asked to end while they had work, by whomever; they finish it first";
        registry.register("busy_stops", help, self.busy_stops.clone());
    }

    /// A decision was made.
    pub fn decided(&self, title: &Title, seen: &Observation, decision: &Decision, memory: &Memory) {
        self.decisions.get_or_create(&Because { reason: decision.reason.as_str() }).inc();
        let [desired, current, ready, waiting, unacked, arrivals, completions] = &self.figures;
        let label = Pipeline { namespace: title.namespace.clone(), pipeline: title.name.clone() };
        let set = |(_, _, family): &Figure, value| {
            family.get_or_create(&label).set(value);
        };
        set(desired, decision.replicas.into());
        set(current, seen.replicas.into());
        set(ready, seen.ready.into());
        set(unacked, rounded(seen.in_work()));
        set(arrivals, memory.load.arrivals());
        set(completions, memory.load.completions());
        match seen.waiting {
            Some(seen) => set(waiting, rounded(seen)),
            // A number of an earlier time would be taken for one of now.
            None => drop(waiting.2.remove(&label)),
        }
    }

    /// A processor was asked to end while it had work.
    pub fn stopped_busy(&self) {
        self.busy_stops.inc();
    }

    /// A decision was carried out, `after` it was made.
    pub fn written(&self, after: Duration) {
        self.write.observe(after.as_secs_f64());
    }

    /// All pipelines of a broker were decided on, `after` that was due.
    pub fn looked(&self, after: Duration) {
        self.lag.observe(after.as_secs_f64());
    }

    /// A pipeline is not scaled any more.
    pub fn forget(&self, title: &Title) {
        let label = Pipeline { namespace: title.namespace.clone(), pipeline: title.name.clone() };
        self.figures.iter().for_each(|(_, _, family)| {
            // Whether there was one is no matter.
            let _ = family.remove(&label);
        });
    }
}

/// Exact up to 2^53.
#[expect(clippy::cast_precision_loss, reason = "gauges are floating point")]
fn rounded(number: u64) -> f64 {
    number as f64
}

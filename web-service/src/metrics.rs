//! What Prometheus scrapes. Labels come from closed sets.

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

/// The web side's metrics.
pub struct Metrics {
    registry: Registry,
    /// Requests answered with 202.
    pub submitted: Counter,
    /// Results and failures recorded, duplicates included.
    pub ended: Family<Outcome, Counter>,
    /// Messages of the results queue that could not be read.
    pub undecodable: Counter,
    /// Clients that wait for a request to end.
    pub long_polls: Gauge,
    /// Messages of the results queue that one transaction recorded.
    pub batch: Histogram,
    /// Connections for which there was no place.
    pub connections_refused: Counter,
    /// Bytes of request bodies in memory.
    pub body_bytes: Gauge,
    connections: Gauge,
    /// Requests that replays published again.
    pub replayed: Counter,
    /// Replays that this replica works on.
    pub replays_running: Gauge,
    /// Requests that did not come back for their next attempt, as far as one look counts.
    pub missing: Gauge,
    /// Requests that were put back on the queue for that.
    pub put_back: Counter,
    refused: Family<Refusal, Counter>,
}

/// An open connection, counted until it is dropped.
pub struct Connected(Gauge);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Outcome {
    /// `succeeded` or `failed`.
    pub outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Refusal {
    problem: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("warren_web"),
            submitted: Counter::default(),
            ended: Family::default(),
            undecodable: Counter::default(),
            long_polls: Gauge::default(),
            batch: Histogram::new([1.0, 4.0, 16.0, 64.0, 256.0]),
            connections_refused: Counter::default(),
            body_bytes: Gauge::default(),
            connections: Gauge::default(),
            replayed: Counter::default(),
            replays_running: Gauge::default(),
            missing: Gauge::default(),
            put_back: Counter::default(),
            refused: Family::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    /// Counts a refused submit.
    pub fn refuse(&self, problem: &'static str) {
        self.refused.get_or_create(&Refusal { problem }).inc();
    }

    /// Counts a connection for as long as it is held.
    #[must_use]
    pub fn connected(&self) -> Connected {
        self.connections.inc();
        Connected(self.connections.clone())
    }

    /// The OpenMetrics text.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to a string cannot fail");
        text
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("requests_submitted", "Requests answered with 202", self.submitted.clone());
        registry.register("requests_refused", "Submits refused, by problem type", self.refused.clone());
        registry.register("requests_ended", "Results and failures recorded, duplicates included", self.ended.clone());
        registry.register(
            "results_undecodable",
            "Messages of the results queue that could not be read",
            self.undecodable.clone(),
        );
        registry.register("body_bytes", "Bytes of request bodies in memory", self.body_bytes.clone());
        registry.register("connections", "Open connections of clients", self.connections.clone());
        registry.register(
            "connections_refused",
            "Connections for which there was no place",
            self.connections_refused.clone(),
        );
        registry.register("long_polls", "Clients that wait for a request to end", self.long_polls.clone());
        registry.register("results_batch_messages", "Messages recorded by one transaction", self.batch.clone());
        registry.register("requests_replayed", "Requests that replays published again", self.replayed.clone());
        registry.register("replays_running", "Replays that this replica works on", self.replays_running.clone());
        registry.register(
            "requests_missing",
            "Requests that did not come back for their next attempt",
            self.missing.clone(),
        );
        registry.register("requests_put_back", "Missing requests that were published again", self.put_back.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the page names them: of a counter with its suffix.
    fn names(exposition: &str) -> Vec<String> {
        let types = exposition.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
        let name = |(name, kind): (&str, &str)| if kind == "counter" { format!("{name}_total") } else { name.into() };
        types.map(name).collect()
    }

    #[test]
    fn every_metric_is_in_the_page_about_them() {
        let metrics = Metrics::default();
        metrics.refuse("unavailable");
        metrics.ended.get_or_create(&Outcome { outcome: "succeeded" }).inc();
        let page = include_str!("../../docs/metrics.md");
        let names = names(&metrics.encode());
        assert_eq!(names.len(), 13, "{names:?}");
        for name in names {
            assert!(page.contains(&format!("`{name}`")), "{name}");
        }
    }
}

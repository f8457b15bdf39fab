//! What Prometheus scrapes of the operator. Labels come from closed sets.

use super::reason::Reason;
use crate::scaling;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};
use std::{sync::Arc, time::Duration};

/// The operator's metrics.
pub struct Metrics {
    registry: Registry,
    /// Of scaling.
    pub scaling: Arc<scaling::metrics::Metrics>,
    /// 1 while this replica is the one that works.
    pub leader: Gauge,
    /// Watched pipelines.
    pub pipelines: Gauge,
    reconciles: Family<Outcome, Counter>,
    seconds: Histogram,
    requests: Family<Method, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Method {
    method: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("warren_operator"),
            scaling: Arc::default(),
            leader: Gauge::default(),
            pipelines: Gauge::default(),
            reconciles: Family::default(),
            seconds: Histogram::new([0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0]),
            requests: Family::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    /// A reconcile ended after `lasted` with the pipeline in this state.
    pub fn reconciled(&self, reason: Reason, lasted: Duration) {
        self.reconciles.get_or_create(&Outcome { reason: reason.as_str() }).inc();
        self.seconds.observe(lasted.as_secs_f64());
    }

    /// A request went to the API server.
    pub fn requested(&self, method: &axum::http::Method) {
        let method = match method.as_str() {
            "GET" => "get",
            "POST" => "post",
            "PUT" => "put",
            "PATCH" => "patch",
            "DELETE" => "delete",
            _ => "other",
        };
        self.requests.get_or_create(&Method { method }).inc();
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
        self.scaling.register(registry);
        registry.register("leader", "1 while this replica is the one that works", self.leader.clone());
        registry.register("pipelines", "Watched pipelines", self.pipelines.clone());
        registry.register(
            "reconciles",
            "Reconciles, by the Ready condition's reason at their end",
            self.reconciles.clone(),
        );
        registry.register("reconcile_seconds", "How long a reconcile took", self.seconds.clone());
        registry.register("api_requests", "Requests to the API server, watches included", self.requests.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scaling::Title;
    use warren_scaling::{Decision, Memory, Observation};

    /// As the page names them: of a counter with its suffix.
    fn names(exposition: &str) -> Vec<String> {
        let types = exposition.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
        let name = |(name, kind): (&str, &str)| if kind == "counter" { format!("{name}_total") } else { name.into() };
        types.map(name).collect()
    }

    #[test]
    fn every_metric_is_in_the_page_about_them() {
        let metrics = Metrics::default();
        metrics.reconciled(Reason::Running, Duration::ZERO);
        metrics.requested(&axum::http::Method::GET);
        let title = Title { namespace: "n".into(), name: "p".into() };
        let decision = Decision { replicas: 1, reason: warren_scaling::Reason::Steady, because: String::new() };
        let seen = Observation { waiting: Some(1), ..Observation::default() };
        metrics.scaling.decided(&title, &seen, &decision, &Memory::default());
        let page = include_str!("../../../docs/metrics.md");
        let names = names(&metrics.encode());
        assert_eq!(names.len(), 16, "{names:?}");
        for name in names {
            assert!(page.contains(&format!("`{name}`")), "{name}");
        }
    }
}

//! What a worker counts: for `/metrics`, and for the report that scaling goes by.

mod busy;

use crate::decision::End;
use busy::Busy;
use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};
use std::{sync::Mutex, time::Duration};
use warren_messaging::message::FailureReason;

/// Upper bounds of the handler's time, in seconds: from a cache's answer to the longest sensible attempt.
const BUCKETS: [f64; 13] = [0.001, 0.005, 0.02, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 120.0, 300.0, 1800.0];

/// A worker's counts. All cheap: a few atomics and one uncontended lock per request.
pub(crate) struct Tally {
    registry: Registry,
    ends: [Counter; ENDS.len()],
    handler_seconds: Histogram,
    in_flight: Gauge,
    repeated_publishes: Counter,
    lost_deliveries: Counter,
    busy: Mutex<Busy>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndLabel {
    outcome: &'static str,
}

/// The closed set of the label `outcome`.
const ENDS: [&str; 8] =
    ["done", "retried", "rejected", "attempts_exhausted", "undecodable", "expired", "delivery_limit", "other"];

fn label(end: End) -> &'static str {
    match end {
        End::Done => "done",
        End::Retry(_) => "retried",
        End::Dead(reason) => FailureReason::as_str(reason),
    }
}

impl Tally {
    pub(crate) fn new(capacity: u16) -> Self {
        let mut registry = Registry::with_prefix("warren_processor");
        let settled = Family::<EndLabel, Counter>::default();
        registry.register("requests", "Requests that left the worker, by outcome", settled.clone());
        let handler_seconds = Histogram::new(BUCKETS);
        let help = "Time in the handler, per attempt";
        registry.register_with_unit("handler_duration", help, Unit::Seconds, handler_seconds.clone());
        let in_flight = Gauge::default();
        registry.register("in_flight_requests", "Requests in work, publishing included", in_flight.clone());
        let concurrency: Gauge = Gauge::default();
        concurrency.set(capacity.into());
        registry.register("capacity_requests", "Requests that can be in work at once", concurrency);
        Self {
            ends: ENDS.map(|outcome| settled.get_or_create_owned(&EndLabel { outcome })),
            repeated_publishes: counter(&mut registry, "repeated_publishes", "Publishes that had to be repeated"),
            lost_deliveries: counter(
                &mut registry,
                "lost_deliveries",
                "Deliveries lost with their connection; the broker delivers the request again",
            ),
            busy: Mutex::default(),
            registry,
            handler_seconds,
            in_flight,
        }
    }

    /// A request is in work until the returned guard is dropped.
    pub(crate) fn in_work(&self) -> impl Drop + use<'_> {
        self.in_flight.inc();
        OnDrop(|| {
            self.in_flight.dec();
        })
    }

    /// A handler runs until the returned guard is dropped.
    pub(crate) fn in_handler(&self) -> impl Drop + use<'_> {
        let begun = self.with_busy(Busy::begin);
        OnDrop(move || {
            let took: Duration = self.with_busy(Busy::end).saturating_duration_since(begun);
            self.handler_seconds.observe(took.as_secs_f64());
        })
    }

    pub(crate) fn settled(&self, end: End) {
        let label = label(end);
        if let Some(index) = ENDS.iter().position(|known| *known == label) {
            self.ends[index].inc();
        }
    }

    pub(crate) fn publish_repeated(&self) {
        self.repeated_publishes.inc();
    }

    pub(crate) fn delivery_lost(&self) {
        self.lost_deliveries.inc();
    }

    pub(crate) fn in_flight(&self) -> u64 {
        u64::try_from(self.in_flight.get()).unwrap_or_default()
    }

    pub(crate) fn processed_total(&self) -> u64 {
        self.ends.iter().map(Counter::get).sum()
    }

    pub(crate) fn busy_seconds_total(&self) -> f64 {
        self.with_busy(Busy::seconds)
    }

    /// Everything in the Prometheus text format.
    pub(crate) fn exposition(&self) -> String {
        let mut text = String::new();
        text::encode(&mut text, &self.registry).expect("writing to a string cannot fail");
        text
    }

    fn with_busy<T>(&self, act: impl FnOnce(&mut Busy) -> T) -> T {
        // Nothing in Busy panics half-way, so a poisoned lock still holds a good value.
        act(&mut self.busy.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

fn counter(registry: &mut Registry, name: &str, help: &str) -> Counter {
    let counter = Counter::default();
    registry.register(name, help, counter.clone());
    counter
}

/// Runs its closure when it is dropped, a cancelled or panicking future included.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_has_its_label() {
        let reasons = [
            FailureReason::Rejected,
            FailureReason::AttemptsExhausted,
            FailureReason::Undecodable,
            FailureReason::Expired,
            FailureReason::DeliveryLimit,
            FailureReason::Other,
        ];
        let tally = Tally::new(1);
        let ends = reasons.into_iter().map(End::Dead).chain([End::Done, End::Retry(Duration::ZERO)]);
        ends.for_each(|end| tally.settled(end));
        assert_eq!(tally.processed_total(), ENDS.len() as u64);
    }

    #[test]
    fn the_exposition_names_units_and_outcomes() {
        let tally = Tally::new(4);
        drop(tally.in_handler());
        tally.settled(End::Done);
        let text = tally.exposition();
        for line in [
            "warren_processor_requests_total{outcome=\"done\"} 1",
            "warren_processor_requests_total{outcome=\"retried\"} 0",
            "warren_processor_handler_duration_seconds_count 1",
            "warren_processor_capacity_requests 4",
            "warren_processor_in_flight_requests 0",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
    }

    /// As the page names them: of a counter with its suffix.
    fn names(exposition: &str) -> Vec<String> {
        let types = exposition.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
        let name = |(name, kind): (&str, &str)| if kind == "counter" { format!("{name}_total") } else { name.into() };
        types.map(name).collect()
    }

    #[test]
    fn every_metric_is_in_the_page_about_them() {
        let page = include_str!("../../docs/metrics.md");
        let names = names(&Tally::new(1).exposition());
        assert_eq!(names.len(), 6, "{names:?}");
        for name in names {
            assert!(page.contains(&format!("`{name}`")), "{name}");
        }
    }

    #[test]
    fn a_request_is_in_flight_until_its_guard_is_gone() {
        let tally = Tally::new(1);
        let guard = tally.in_work();
        assert_eq!(tally.in_flight(), 1);
        drop(guard);
        assert_eq!(tally.in_flight(), 0);
    }
}

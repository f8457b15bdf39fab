//! What several runs of one load come to.

use crate::record::{Record, quantile};
use std::time::Duration;

/// What several runs of one load come to.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Seconds from the first submit until it was in work; the median of the runs.
    pub first: f64,
    /// Median seconds in the queue, over all deliveries.
    pub p50: f64,
    /// Seconds in the queue that one delivery in a hundred exceeds.
    pub p99: f64,
    /// Pod-seconds per run.
    pub pod_seconds: f64,
    /// Changes of direction per run.
    pub turns: f64,
    /// Pods stopped while they had work, per run.
    pub busy_kills: f64,
    /// Second deliveries per run.
    pub redelivered: f64,
}

impl Summary {
    /// Of all these runs.
    pub fn of(records: &[Record]) -> Self {
        let firsts: Vec<_> = records.iter().map(|record| record.since_begin(record.first_in_work)).collect();
        let waits: Vec<_> = records.iter().flat_map(|record| record.waits.iter().copied()).collect();
        let mean =
            |figure: &dyn Fn(&Record) -> f64| records.iter().map(figure).sum::<f64>() / records.len().max(1) as f64;
        Self {
            first: quantile(&firsts, 0.5),
            p50: quantile(&waits, 0.5),
            p99: quantile(&waits, 0.99),
            pod_seconds: mean(&|record| record.pod_seconds(Duration::ZERO)),
            turns: mean(&|record| record.turns().into()),
            busy_kills: mean(&|record| record.busy_kills.into()),
            redelivered: mean(&|record| record.redelivered.into()),
        }
    }
}

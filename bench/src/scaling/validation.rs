//! The model beside what was measured on a real cluster.

use crate::{
    cluster::{Cluster, SMALL_NODE},
    contender::{Contender, phases},
    record::{Record, quantile},
    scaler::{MAX, Scaler, fixed::Fixed},
    trace::KINDS,
    world,
};
use std::time::Duration;

/// Runs per row.
const RUNS: u32 = 40;
/// One replica per this many requests, as it was measured.
const VALUE: u32 = 5;

/// What is compared: its name, what was measured (KEDA 2.21, Kubernetes 1.36, medians), and the scaler in the model.
type Row = (&'static str, [&'static str; 7], fn([f64; 2]) -> Option<Box<dyn Scaler>>);

const ROWS: [Row; 4] = [
    ("KEDA, default", ["16.3", "63.8", "16.8", "58.5", "288", "8504", "0"], |phases| {
        Contender::Default.scaler(VALUE, phases)
    }),
    ("KEDA, tuned", ["0.4", "7.7", "1.0", "28.6", "28.3", "213", "4.5"], |phases| {
        Contender::Tuned.scaler(VALUE, phases)
    }),
    ("a PATCH to 30", ["0.0", "0.0", "7.2", "21.6", "0.0", "1", "0"], |_| Some(Box::new(Fixed::new(MAX)))),
    ("Warren", ["", "", "", "", "", "", ""], |phases| Contender::Warren.scaler(VALUE, phases)),
];

/// The comparison as Markdown.
pub fn table() -> String {
    let mut lines = vec![
        "| | 1 asked for | 30 asked for | first in work | drained | until 0 | Pod-seconds after the last | redelivered |"
            .to_owned(),
        format!("|---{}|", "|--:".repeat(7)),
    ];
    for (name, measured, scaler) in ROWS {
        if !measured[0].is_empty() {
            lines.push(format!("| {name}, measured | {} |", measured.join(" | ")));
        }
        let simulated = simulate(scaler).map(|figure| format!("{figure:.1}"));
        lines.push(format!("| {name}, simulated | {} |", simulated.join(" | ")));
    }
    lines.join("\n")
}

/// Medians of the burst of 300 on the small node, with workers that do not drain, as it was measured.
fn simulate(scaler: fn([f64; 2]) -> Option<Box<dyn Scaler>>) -> [f64; 7] {
    let cluster = Cluster { drains: false, ..SMALL_NODE };
    let trace = KINDS[0].draw(1);
    let one = |seed| Some(world::run(&trace, cluster, 1, scaler(phases(seed, RUNS))?, seed.into()));
    let records: Vec<_> = (0..RUNS).filter_map(one).collect();
    let figures: [fn(&Record) -> f64; 7] = [
        |it| it.since_begin(it.asked_for(1)),
        |it| it.since_begin(it.asked_for(MAX)),
        |it| it.since_begin(it.first_in_work),
        |it| it.since_begin(Some(it.last_done)),
        |it| it.settled().saturating_sub(it.last_done).as_secs_f64(),
        |it| it.pod_seconds(it.last_done + Duration::from_millis(1)),
        |it| f64::from(it.redelivered),
    ];
    figures.map(|figure| quantile(&records.iter().map(figure).collect::<Vec<_>>(), 0.5))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_of_keda_comes_near_what_was_measured() {
        for (name, measured, scaler) in &ROWS[..2] {
            let simulated = simulate(*scaler);
            // When it was ready, done, and gone. The rest hangs on where its clocks stood.
            for figure in [2, 3, 4] {
                let measured: f64 = measured[figure].parse().expect("a number");
                let off = (simulated[figure] - measured).abs();
                assert!(off < 1.0 + measured / 4.0, "{name}, figure {figure}: {measured}, and {}", simulated[figure]);
            }
        }
    }
}

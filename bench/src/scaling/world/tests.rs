//! The model keeps its own laws.

use super::*;
use crate::{
    cluster::{LARGE, SMALL_NODE},
    scaler::{fixed::Fixed, keda, keda::Keda, warren::Warren},
    trace::{KINDS, Message},
};
use warren_scaling::Target;

fn scalers() -> [Box<dyn Scaler>; 4] {
    [
        Box::new(Fixed::new(30)),
        Box::new(Warren::new(Target::BacklogPerReplica(10), Duration::from_millis(300))),
        Box::new(Keda::new(keda::DEFAULT, 10, [0.3, 0.6])),
        Box::new(Keda::new(keda::TUNED, 10, [0.3, 0.6])),
    ]
}

#[test]
fn every_request_ends_once_whatever_happens_to_its_processor() {
    for kind in &KINDS {
        let trace = kind.draw(1);
        for scaler in scalers() {
            let record = run(&trace, Cluster { drains: false, ..SMALL_NODE }, 1, scaler, 1);
            assert_eq!(record.ended, trace.messages.len(), "{}", kind.name);
            assert_eq!(record.pods.last().map(|(_, pods)| *pods), Some(0), "{}", kind.name);
            let retries: usize = trace.messages.iter().map(|message| message.failures.min(RETRY_DELAYS.len())).sum();
            let deliveries = trace.messages.len() + retries + record.redelivered as usize;
            assert_eq!(record.waits.len(), deliveries, "{}", kind.name);
        }
    }
}

#[test]
fn a_fixed_fleet_takes_its_start_and_its_share_of_the_work() {
    let message = Message { at: Duration::ZERO, service: Duration::from_secs(2), failures: 0 };
    let trace = Trace::from(vec![message; 60]);
    for (concurrency, seconds) in [(1, 12.0), (2, 6.0), (3, 4.0)] {
        let record = run(&trace, LARGE, concurrency, Box::new(Fixed::new(10)), 1);
        let took = record.last_done.as_secs_f64();
        assert!((took - seconds - 1.9).abs() < 0.2, "{took} s at concurrency {concurrency}");
        assert_eq!((record.busy_kills, record.redelivered), (0, 0));
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let trace = KINDS[0].draw(3);
    let runs = [5, 5, 6].map(|seed| {
        let scaler = Warren::new(Target::BacklogPerReplica(10), Duration::ZERO);
        format!("{:?}", run(&trace, SMALL_NODE, 1, Box::new(scaler), seed))
    });
    assert!(runs[0] == runs[1] && runs[0] != runs[2]);
}

#[test]
fn warren_stops_nobody_who_is_busy() {
    for kind in &KINDS {
        for (seed, target) in [(1, Target::BacklogPerReplica(10)), (6, Target::DrainWithin(Duration::from_secs(30)))] {
            let scaler = Warren::new(target, Duration::from_millis(300));
            let record = run(&kind.draw(seed), SMALL_NODE, 1, Box::new(scaler), seed);
            assert_eq!(record.busy_kills, 0, "{} {target:?}", kind.name);
        }
    }
}

#[test]
fn a_pod_that_drains_finishes_and_one_that_does_not_is_redelivered() {
    let trace = KINDS[4].draw(1);
    let stop = |drains| run(&trace, Cluster { drains, ..LARGE }, 1, Box::new(Keda::new(keda::TUNED, 2, [0.0, 0.0])), 1);
    let (drained, dropped) = (stop(true), stop(false));
    assert!(drained.busy_kills > 0 && drained.redelivered == 0, "{}", drained.busy_kills);
    assert_eq!(dropped.busy_kills, dropped.redelivered);
}

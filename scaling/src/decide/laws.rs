//! What holds for every input.

use crate::{Decision, Memory, Observation, Policy, Target, Tier, Worker, decide};
use proptest::prelude::*;
use std::time::Duration;

fn policy() -> impl Strategy<Value = Policy> {
    let target = prop_oneof![
        (1..50_u32).prop_map(Target::BacklogPerReplica),
        (1..120_u64).prop_map(|seconds| Target::DrainWithin(Duration::from_secs(seconds))),
    ];
    (0..5_u32, 0..40_u32, target, 0..60_u64, 1..20_u32).prop_map(|(min, more, target, idle, concurrency)| Policy {
        min,
        max: (min + more).max(1),
        target,
        idle: Duration::from_secs(idle),
        concurrency,
    })
}

fn worker() -> impl Strategy<Value = Worker> {
    let busy = prop_oneof![8 => 0.0..1e6, 1 => Just(f64::NAN), 1 => Just(-1.0), 1 => Just(f64::INFINITY)];
    (0..30_u32, 0..20_u64, prop_oneof![9 => 0..1_000_000_u64, 1 => Just(u64::MAX)], busy, proptest::bool::weighted(0.1))
        .prop_map(|(name, in_flight, processed_total, busy_seconds_total, draining)| Worker {
            name: name.to_string(),
            in_flight,
            processed_total,
            busy_seconds_total,
            draining,
        })
}

fn observation() -> impl Strategy<Value = Observation> {
    let count = prop_oneof![4 => 0..2000_u64, 1 => Just(0), 1 => Just(u64::MAX)];
    let tier = (1..600_u64, 0..50_u64).prop_map(|(delay, waiting)| Tier { delay: Duration::from_secs(delay), waiting });
    let tiers = proptest::collection::vec(tier, 0..4);
    let workers = proptest::collection::vec(worker(), 0..20);
    (0..60_u32, 0..60_u32, proptest::option::weighted(0.9, count), proptest::option::weighted(0.9, tiers), workers)
        .prop_map(|(replicas, ready, waiting, tiers, mut workers)| {
            workers.sort_by(|a, b| a.name.cmp(&b.name));
            workers.dedup_by(|a, b| a.name == b.name);
            Observation { at: Duration::ZERO, replicas, ready, waiting, tiers, workers }
        })
}

/// Some seconds of history, and what is seen now.
fn history() -> impl Strategy<Value = (Vec<Observation>, Observation)> {
    let past = proptest::collection::vec((observation(), 0..20_000_u64), 0..8);
    (past, observation(), 0..60_000_u64).prop_map(|(past, mut now, last)| {
        let mut at = Duration::ZERO;
        let mut seen = Vec::new();
        for (mut observation, pause) in past {
            at += Duration::from_millis(pause);
            observation.at = at;
            seen.push(observation);
        }
        now.at = at + Duration::from_millis(last);
        (seen, now)
    })
}

fn after(past: &[Observation], policy: &Policy) -> Memory {
    let mut memory = Memory::default();
    for seen in past {
        decide(seen, policy, &mut memory);
    }
    memory
}

fn replicas(seen: &Observation, policy: &Policy, memory: &Memory) -> u32 {
    decide(seen, policy, &mut memory.clone()).replicas
}

/// The same moment with `replicas`: what went were idle ones, as far as there were any.
fn carry_out(mut seen: Observation, replicas: u32) -> Observation {
    let mut going = seen.replicas.saturating_sub(replicas);
    (seen.ready, seen.replicas) = (seen.ready.min(seen.replicas), replicas);
    seen.workers.retain(|worker| {
        let goes = going > 0 && !worker.draining && worker.in_flight == 0;
        going -= u32::from(goes);
        seen.ready -= u32::from(goes && seen.ready > 0);
        !goes
    });
    seen.ready = seen.ready.min(replicas);
    seen
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_number_stays_within_its_bounds(policy in policy(), (past, now) in history()) {
        let Decision { replicas, because, .. } = decide(&now, &policy, &mut after(&past, &policy));
        prop_assert!(replicas >= policy.min, "{replicas}: {because}");
        prop_assert!(replicas <= policy.max.max(now.replicas), "{replicas}: {because}");
    }

    #[test]
    fn more_work_never_leads_to_fewer(policy in policy(), (past, now) in history(), more in 1..1000_u64) {
        let memory = after(&past, &policy);
        let mut fuller = now.clone();
        fuller.waiting = now.waiting.map(|waiting| waiting.saturating_add(more));
        prop_assert!(replicas(&fuller, &policy, &memory) >= replicas(&now, &policy, &memory));
    }

    #[test]
    fn the_unknown_never_leads_to_fewer(policy in policy(), (past, now) in history(), which in 0..3_usize) {
        let memory = after(&past, &policy);
        let mut blind = now;
        match which {
            0 => blind.waiting = None,
            1 => blind.tiers = None,
            _ => (blind.workers, blind.ready) = (Vec::new(), blind.replicas),
        }
        let decision = decide(&blind, &policy, &mut memory.clone());
        prop_assert!(decision.replicas >= blind.replicas, "{decision:?}");
    }

    #[test]
    fn the_busy_and_the_silent_stay(policy in policy(), (past, now) in history()) {
        let decision = decide(&now, &policy, &mut after(&past, &policy));
        prop_assert!(decision.replicas >= now.replicas.min(now.busy() + now.silent()), "{decision:?}");
    }

    #[test]
    fn those_that_were_just_asked_for_stay_until_they_are_heard_of(policy in policy(), (past, now) in history()) {
        let mut memory = after(&past, &policy);
        let before = decide(&now, &policy, &mut memory).replicas;
        let at = now.at + Duration::from_secs(1);
        let next = Observation { at, replicas: before, ready: now.ready.min(before), ..now.clone() };
        let added = before.saturating_sub(now.replicas).min(next.starting());
        prop_assert!(decide(&next, &policy, &mut memory).replicas >= added);
    }

    #[test]
    fn zero_is_reached_only_when_nothing_is_in_work(policy in policy(), (past, now) in history()) {
        let decision = decide(&now, &policy, &mut after(&past, &policy));
        if decision.replicas == 0 && now.replicas > 0 {
            prop_assert_eq!((now.waiting, now.in_work(), now.silent()), (Some(0), 0, 0), "{:?}", decision);
        }
    }

    #[test]
    fn deciding_again_changes_nothing(policy in policy(), (past, now) in history()) {
        let mut memory = after(&past, &policy);
        let first = decide(&now, &policy, &mut memory);
        let carried_out = carry_out(now, first.replicas);
        prop_assert_eq!(decide(&carried_out, &policy, &mut memory).replicas, first.replicas, "{}", first.because);
    }
}

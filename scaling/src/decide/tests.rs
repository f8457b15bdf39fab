//! Stories of single decisions, second by second.

use crate::{Decision, Memory, Observation, Policy, Reason, Target, Tier, Worker, decide};
use std::time::Duration;

const POLICY: Policy =
    Policy { min: 0, max: 30, target: Target::BacklogPerReplica(10), idle: Duration::from_secs(30), concurrency: 1 };

fn seen(second: u64, replicas: u32, waiting: u64, busy: u32) -> Observation {
    let worker = |n: u32| Worker {
        name: n.to_string(),
        in_flight: u64::from(n < busy),
        processed_total: second,
        ..Worker::default()
    };
    Observation {
        at: Duration::from_secs(second),
        replicas,
        ready: replicas,
        waiting: Some(waiting),
        tiers: Some(Vec::new()),
        workers: (0..replicas).map(worker).collect(),
    }
}

/// Decides each second from `begin` on, and carries it out; the decisions.
fn run(
    memory: &mut Memory,
    policy: &Policy,
    seconds: std::ops::Range<u64>,
    mut replicas: u32,
    idle: bool,
) -> Vec<Decision> {
    let mut decisions = Vec::new();
    for second in seconds {
        let mut seen = seen(second, replicas, 0, if idle { 0 } else { replicas });
        seen.workers.iter_mut().for_each(|worker| worker.processed_total = 0);
        let decision = decide(&seen, policy, memory);
        replicas = decision.replicas;
        decisions.push(decision);
    }
    decisions
}

#[test]
fn a_burst_wakes_a_sleeping_pipeline_at_the_first_look() {
    let decision = decide(&seen(0, 0, 300, 0), &POLICY, &mut Memory::default());
    assert_eq!((decision.replicas, decision.reason), (2, Reason::ScalingUp));
    assert_eq!(
        decision.because,
        "300 waiting and 0 in work: at 10 per replica that calls for 30; 2 are starting, others follow"
    );
}

#[test]
fn waves_follow_each_other_up_to_what_is_needed() {
    let (mut memory, mut replicas, mut numbers) = (Memory::default(), 0, Vec::new());
    for second in 0..6 {
        let decision = decide(&seen(second, replicas, 400, replicas), &POLICY, &mut memory);
        replicas = decision.replicas;
        numbers.push((replicas, decision.reason));
    }
    use Reason::{AtMaximum, ScalingUp};
    let wanted = [(2, ScalingUp), (6, ScalingUp), (14, ScalingUp), (30, AtMaximum), (30, AtMaximum), (30, AtMaximum)];
    assert_eq!(numbers, wanted);
}

#[test]
fn idle_replicas_go_in_steps_and_the_last_after_the_idle_time() {
    let mut memory = Memory::default();
    decide(&seen(0, 30, 5, 30), &POLICY, &mut memory);
    let decisions = run(&mut memory, &POLICY, 1..40, 30, true);
    let zero = decisions.iter().position(|decision| decision.replicas == 0).expect("zero is reached");
    assert!((29..32).contains(&zero), "{zero}");
    let after_the_burst: u32 = decisions.iter().map(|decision| decision.replicas).sum();
    assert!(after_the_burst < 213, "{after_the_burst} replica-seconds; tuned KEDA takes 213");
    assert_eq!(decisions.last().expect("some").reason, Reason::Idle);
}

#[test]
fn without_idle_time_they_go_at_once() {
    let policy = Policy { idle: Duration::ZERO, ..POLICY };
    let mut memory = Memory::default();
    decide(&seen(0, 30, 5, 30), &policy, &mut memory);
    let decisions = run(&mut memory, &policy, 1..4, 30, true);
    assert_eq!(decisions.iter().map(|decision| decision.replicas).collect::<Vec<_>>(), [0, 0, 0]);
}

#[test]
fn busy_replicas_stay_though_the_backlog_calls_for_fewer() {
    let mut memory = Memory::default();
    for second in 0..100 {
        let decision = decide(&seen(second, 8, 0, 8), &POLICY, &mut memory);
        assert_eq!(decision.replicas, 8, "{}", decision.because);
    }
    assert_eq!(decide(&seen(100, 8, 0, 3), &POLICY, &mut memory).replicas, 8, "they were needed a second ago");
    assert_eq!(decide(&seen(107, 8, 0, 3), &POLICY, &mut memory).replicas, 5);
    assert_eq!(decide(&seen(120, 5, 0, 3), &POLICY, &mut memory).replicas, 4);
    assert_eq!(decide(&seen(122, 4, 0, 3), &POLICY, &mut memory).replicas, 3);
}

#[test]
fn a_lowered_maximum_drains_and_does_not_kill() {
    let (policy, mut memory) = (Policy { max: 4, ..POLICY }, Memory::default());
    let decision = decide(&seen(0, 20, 50, 12), &policy, &mut memory);
    assert_eq!((decision.replicas, decision.reason), (12, Reason::ScalingDown));
    assert!(decision.because.ends_with("maxReplicas is 4, but 12 are busy and go when they are done"), "{decision:?}");
    assert_eq!(decide(&seen(1, 12, 50, 2), &policy, &mut memory).replicas, 4);
}

#[test]
fn those_that_start_stay_until_they_are_heard_of_or_stuck() {
    let mut memory = Memory::default();
    decide(&seen(0, 0, 6, 0), &Policy { target: Target::BacklogPerReplica(1), ..POLICY }, &mut memory);
    let policy = Policy { max: 1, idle: Duration::ZERO, ..POLICY };
    let starting = |second, waiting| Observation { ready: 0, workers: Vec::new(), ..seen(second, 2, waiting, 0) };
    for second in 1..30 {
        let decision = decide(&starting(second, 0), &policy, &mut memory);
        assert_eq!((decision.replicas, decision.reason), (2, Reason::ScalingDown));
        assert!(decision.because.ends_with("2 are starting and go once they are known to be idle"), "{decision:?}");
    }
    assert_eq!(decide(&starting(30, 0), &policy, &mut memory.clone()).replicas, 0, "they will not come");
    assert_eq!(decide(&seen(30, 2, 0, 1), &policy, &mut memory).replicas, 1, "one is busy, one idle");
}

#[test]
fn a_retry_that_falls_due_keeps_the_last_replica_and_a_distant_one_does_not() {
    for (delay, left) in [(20, 1), (600, 0)] {
        let mut memory = Memory::default();
        let mut replicas = 3;
        for second in 0..40 {
            let tier = Tier { delay: Duration::from_secs(delay), waiting: 1 };
            let mut seen = seen(second, replicas, 0, 0);
            seen.workers.iter_mut().for_each(|worker| worker.processed_total = 0);
            let decision = decide(&Observation { tiers: Some(vec![tier]), ..seen }, &POLICY, &mut memory);
            replicas = decision.replicas;
        }
        assert_eq!(replicas, left, "delay {delay}");
    }
}

#[test]
fn a_replica_is_there_when_a_distant_retry_falls_due() {
    let mut memory = Memory::default();
    let tier = |waiting| Some(vec![Tier { delay: Duration::from_secs(300), waiting }]);
    for second in 0..297 {
        let decision = decide(&Observation { tiers: tier(1), ..seen(second, 0, 0, 0) }, &POLICY, &mut memory);
        assert_eq!(decision.replicas, 0, "at {second}: {}", decision.because);
    }
    let decision = decide(&Observation { tiers: tier(1), ..seen(298, 0, 0, 0) }, &POLICY, &mut memory);
    assert_eq!(decision.replicas, 1, "it takes about two seconds to start: {}", decision.because);
}

#[test]
fn silent_replicas_are_held_and_named() {
    let (mut memory, mut replicas) = (Memory::default(), 5);
    for second in 0..100 {
        let mut silent = seen(second, replicas, 0, 0);
        silent.workers.truncate(replicas as usize - 3);
        silent.workers.iter_mut().for_each(|worker| worker.processed_total = 0);
        let decision = decide(&silent, &POLICY, &mut memory);
        replicas = decision.replicas;
        if second > 40 {
            assert_eq!((replicas, decision.reason), (3, Reason::WorkersSilent), "{}", decision.because);
        }
    }
}

#[test]
fn what_somebody_edits_by_hand_is_led_back_by_the_same_rules() {
    let mut memory = Memory::default();
    assert_eq!(run(&mut memory, &POLICY, 0..60, 17, true).last().expect("some").replicas, 0);
    assert_eq!(decide(&seen(60, 1, 300, 1), &POLICY, &mut memory).replicas, 3, "a wave at a time");
}

#[test]
fn the_fewest_are_there_at_once() {
    let policy = Policy { min: 7, ..POLICY };
    let decision = decide(&seen(0, 0, 0, 0), &policy, &mut Memory::default());
    assert_eq!(decision.replicas, 7);
    assert!(decision.because.ends_with("minReplicas is 7"), "{}", decision.because);
}

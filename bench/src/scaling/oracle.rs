//! What one who knows the future would do.
//!
//! Each request begins the moment it comes, or as soon as one of the [`MAX`] replicas is free. For that the oracle has
//! each replica ready just in time, and the more requests one replica can take one after the other, the fewer there are.
//! Each of its Pod-seconds is one of these:
//! - work;
//! - the start of a Pod, alone on its cores;
//! - a gap between two requests that is shorter than a start would be;
//! - the idle time that the user asks for, for one Pod whenever nothing at all is in work.
//!
//! Nobody without a view of the future can match it: who learns of a request when it waits already pays for the start
//! with waiting, and who does not know that no other one follows pays for looking on.

use crate::{
    cluster::Cluster,
    record::{Record, Steps},
    scaler::{MAX, warren::IDLE},
    trace::{RETRY_DELAYS, Trace},
};
use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

/// When a replica has work.
type Span = (Duration, Duration);

/// The oracle's run of `trace`. `asked` tells its own turns: with gaps up to the idle time bridged, since nobody would
/// call it steady to take a replica away and back within that time.
pub fn run(trace: &Trace, cluster: Cluster) -> Record {
    let (work, mut record) = serve(trace);
    let start = cluster.start_time();
    let kept = keep_last(work, start);
    record.pods =
        count(kept.iter().flat_map(|spans| bridge(spans, start)).map(|(from, to)| (from.saturating_sub(start), to)));
    record.asked = count(kept.iter().flat_map(|spans| bridge(spans, IDLE)));
    record
}

/// Serves each request at once, or as soon as a replica is free; when each replica had work.
fn serve(trace: &Trace) -> (Vec<Vec<Span>>, Record) {
    let mut coming: BinaryHeap<_> =
        trace.messages.iter().enumerate().map(|(message, it)| Reverse((it.at, message, 0))).collect();
    let mut replicas: Vec<Vec<Span>> = vec![Vec::new(); MAX as usize];
    let mut record = Record { begin: trace.begin(), ..Record::default() };
    while let Some(Reverse((at, message, attempt))) = coming.pop() {
        let it = trace.messages[message];
        let spans = pick(&mut replicas, at);
        let begin = spans.last().map_or(at, |(_, end)| at.max(*end));
        let end = begin + it.service;
        spans.push((begin, end));
        record.waits.push((begin - at).as_secs_f64());
        record.first_in_work.get_or_insert(begin);
        if attempt < it.failures && attempt < RETRY_DELAYS.len() {
            coming.push(Reverse((end + RETRY_DELAYS[attempt], message, attempt + 1)));
        } else {
            record.ended += 1;
            record.last_done = record.last_done.max(end);
        }
    }
    (replicas, record)
}

/// Of those that are free the one that had work last, so that the others can go; else the one that is free first.
fn pick(replicas: &mut [Vec<Span>], at: Duration) -> &mut Vec<Span> {
    let end = |spans: &[Span]| spans.last().map_or(Duration::ZERO, |(_, end)| *end);
    let free =
        (0..replicas.len()).filter(|n| end(&replicas[*n]) <= at).max_by_key(|n| (end(&replicas[*n]), Reverse(*n)));
    let first = (0..replicas.len()).min_by_key(|n| end(&replicas[*n])).unwrap_or_default();
    &mut replicas[free.unwrap_or(first)]
}

/// The replica that had work last stays for the idle time, when nothing at all is in work.
fn keep_last(mut replicas: Vec<Vec<Span>>, start: Duration) -> Vec<Vec<Span>> {
    let all = count(replicas.iter().flat_map(|spans| bridge(spans, start)));
    let idle_from = all.iter().filter(|(_, working)| *working == 0).map(|(at, _)| *at);
    for at in idle_from {
        let next = all.iter().find(|(then, working)| *then > at && *working > 0).map(|(then, _)| *then);
        let until = next.map_or(at + IDLE, |next| next.min(at + IDLE));
        if let Some(spans) = replicas.iter_mut().find(|spans| spans.iter().any(|(_, end)| *end == at)) {
            let place = spans.partition_point(|(begin, _)| *begin < at);
            spans.insert(place, (at, until));
        }
    }
    replicas
}

/// Spans with no gap shorter than `gap`.
fn bridge(spans: &[Span], gap: Duration) -> Vec<Span> {
    let mut bridged: Vec<Span> = Vec::new();
    for (begin, end) in spans {
        match bridged.last_mut() {
            Some((_, last)) if *begin <= *last + gap => *last = *end,
            _ => bridged.push((*begin, *end)),
        }
    }
    bridged
}

/// How many spans hold at each time.
fn count(spans: impl Iterator<Item = Span>) -> Steps {
    let mut changes: Vec<_> = spans.flat_map(|(begin, end)| [(begin, 1), (end, -1)]).collect();
    changes.sort_by_key(|(at, change)| (*at, Reverse(*change)));
    let (mut steps, mut number) = (vec![(Duration::ZERO, 0)], 0_u32);
    for (at, change) in changes {
        number = number.saturating_add_signed(change);
        match steps.last_mut() {
            Some((then, last)) if *then == at => *last = number,
            _ => steps.push((at, number)),
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cluster::LARGE, trace::Message};

    fn requests(at: &[u64]) -> Trace {
        let message = |at: &u64| Message { at: Duration::from_secs(*at), service: Duration::from_secs(2), failures: 0 };
        at.iter().map(message).collect::<Vec<_>>().into()
    }

    const START: f64 = 1.65;

    fn assert_near(record: &Record, seconds: f64) {
        let pod_seconds = record.pod_seconds(Duration::ZERO);
        assert!((pod_seconds - seconds).abs() < 1e-6, "{pod_seconds} and not {seconds}");
    }

    #[test]
    fn one_request_costs_its_start_its_work_and_the_idle_time() {
        let record = run(&requests(&[100]), LARGE);
        assert_near(&record, START + 2.0 + 30.0);
        assert_eq!((record.turns(), record.waits), (1, vec![0.0]));
    }

    #[test]
    fn what_the_idle_time_covers_needs_no_other_start() {
        let record = run(&requests(&[100, 120, 200]), LARGE);
        assert_near(&record, (START + 22.0 + 30.0) + (START + 2.0 + 30.0));
        assert_eq!(record.turns(), 3);
    }

    #[test]
    fn more_at_once_than_there_may_be_replicas_wait_for_one_another() {
        let record = run(&requests(&[9; 60]), LARGE);
        assert_near(&record, 30.0 * START + 120.0 + 30.0);
        assert_eq!(record.waits.iter().sum::<f64>(), 60.0);
    }
}

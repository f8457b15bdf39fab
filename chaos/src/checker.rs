//! Compares what was promised with what is recorded. Pure.

use crate::{api::Record, local::MAX_ATTEMPTS, promises::Promise, rule::Task};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What there is to compare.
#[derive(Debug)]
pub struct Evidence<'a> {
    /// What clients were promised.
    pub promised: &'a HashMap<String, Promise>,
    /// What is recorded.
    pub recorded: &'a BTreeMap<String, Record>,
    /// What was seen of ended requests on the way.
    pub seen: &'a HashMap<String, Record>,
    /// Ids that an outsider may have thrown away with a queue.
    pub deleted: &'a BTreeSet<String>,
}

/// What the comparison says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Promised, and no record.
    pub lost: Vec<String>,
    /// Promised, recorded and without an end.
    pub stuck: Vec<String>,
    /// Another end or result than the rule's.
    pub wrong: Vec<String>,
    /// Ended, and changed after that.
    pub changed: Vec<String>,
    /// Fewer attempts than the rule needs, or more than the pipeline allows.
    pub attempts: Vec<String>,
    /// Without an end because an outsider deleted the queue.
    pub told: usize,
    /// Ended as they should.
    pub succeeded: usize,
    /// Failed for good as they should.
    pub failed: usize,
    /// Recorded and never promised: a 503 or a broken connection was the answer.
    pub in_doubt: usize,
}

impl Verdict {
    /// Everything that must not be, in words.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        let groups = [
            ("lost", &self.lost),
            ("stuck", &self.stuck),
            ("wrong", &self.wrong),
            ("changed after its end", &self.changed),
            ("attempts out of bounds", &self.attempts),
        ];
        groups.into_iter().flat_map(|(word, all)| all.iter().map(move |what| format!("{word}: {what}"))).collect()
    }
}

/// Compares.
#[must_use]
pub fn compare(evidence: &Evidence<'_>) -> Verdict {
    let mut verdict = Verdict::default();
    for (id, promise) in evidence.promised {
        judge(&mut verdict, evidence, id, promise);
    }
    for (id, record) in evidence.recorded.iter().filter(|(id, _)| !evidence.promised.contains_key(*id)) {
        verdict.in_doubt += 1;
        // Its client was told nothing, but what is recorded must end too.
        if !record.is_final() && !evidence.deleted.contains(id) {
            verdict.stuck.push(format!("never promised: {record:?}"));
        }
    }
    for (id, before) in evidence.seen {
        let now = evidence.recorded.get(id);
        if now.is_none_or(|now| {
            now.result != before.result || now.finished_at != before.finished_at || now.status != before.status
        }) {
            verdict.changed.push(format!("{id}: {before:?} became {now:?}"));
        }
    }
    verdict
}

fn judge(verdict: &mut Verdict, evidence: &Evidence<'_>, id: &str, promise: &Promise) {
    let task = Task::new(promise.number);
    let Some(record) = evidence.recorded.get(id) else {
        verdict.lost.push(format!("{id} (task {})", promise.number));
        return;
    };
    if !record.is_final() {
        if evidence.deleted.contains(id) {
            verdict.told += 1;
        } else {
            verdict.stuck.push(format!("{record:?}"));
        }
        return;
    }
    let expected = if task.is_hopeless() { "failed" } else { "succeeded" };
    let result = (!task.is_hopeless()).then(|| json!(task.answer()));
    let reason = record.error.as_ref().and_then(|error| error["reason"].as_str());
    if record.status != expected || record.result != result || (task.is_hopeless() && reason != Some("rejected")) {
        verdict.wrong.push(format!("task {}: {record:?}", promise.number));
    } else if task.is_hopeless() {
        verdict.failed += 1;
    } else {
        verdict.succeeded += 1;
    }
    if record.attempts <= task.failures() || record.attempts > MAX_ATTEMPTS {
        verdict.attempts.push(format!("task {} fails {} times: {record:?}", promise.number, task.failures()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use std::time::Instant;

    fn record(id: &str, number: u64) -> Record {
        let task = Task::new(number);
        Record {
            request_id: id.into(),
            status: "succeeded".into(),
            attempts: task.failures() + 1,
            finished_at: Some("2026-01-01T00:00:00Z".into()),
            result: Some(json!(task.answer())),
            error: None,
        }
    }

    /// Task 1, promised as `a`: compared with this record of it.
    fn verdict(recorded: Option<Record>, deleted: &[&str], seen: Option<Record>) -> Verdict {
        let promised = HashMap::from([("a".to_owned(), Promise { number: 1, asked: Instant::now() })]);
        let recorded: BTreeMap<_, _> = recorded.into_iter().map(|record| (record.request_id.clone(), record)).collect();
        let seen: HashMap<_, _> = seen.into_iter().map(|record| (record.request_id.clone(), record)).collect();
        let deleted = deleted.iter().map(|id| (*id).to_owned()).collect();
        compare(&Evidence { promised: &promised, recorded: &recorded, seen: &seen, deleted: &deleted })
    }

    #[test]
    fn a_promise_that_was_kept_is_no_violation() {
        let kept = verdict(Some(record("a", 1)), &[], Some(record("a", 1)));
        assert_eq!(kept, Verdict { succeeded: 1, ..Verdict::default() });
    }

    #[test]
    fn every_way_to_break_a_promise_is_told_apart() {
        let queued = Record { status: "queued".into(), result: None, finished_at: None, ..record("a", 1) };
        assert_eq!(verdict(None, &[], None).lost.len(), 1);
        assert_eq!(verdict(Some(queued.clone()), &[], None).stuck.len(), 1);
        assert_eq!(verdict(Some(queued), &["a"], None), Verdict { told: 1, ..Verdict::default() });
        assert_eq!(verdict(Some(Record { result: Some(Value::from(1)), ..record("a", 1) }), &[], None).wrong.len(), 1);
        assert_eq!(verdict(Some(Record { status: "failed".into(), ..record("a", 1) }), &[], None).wrong.len(), 1);
        assert_eq!(verdict(Some(Record { attempts: 0, ..record("a", 1) }), &[], None).attempts.len(), 1);
        assert_eq!(verdict(Some(Record { attempts: 31, ..record("a", 1) }), &[], None).attempts.len(), 1);
        let later = Record { finished_at: Some("2026-01-01T00:00:01Z".into()), ..record("a", 1) };
        assert_eq!(verdict(Some(later), &[], Some(record("a", 1))).changed.len(), 1);
    }

    #[test]
    fn a_record_that_nobody_was_promised_is_only_counted_but_must_end() {
        let mut other = record("b", 2);
        let done = verdict(Some(other.clone()), &[], None);
        assert_eq!((done.in_doubt, done.stuck.len()), (1, 0));
        other.status = "queued".into();
        assert_eq!(verdict(Some(other), &[], None).stuck.len(), 1);
    }
}

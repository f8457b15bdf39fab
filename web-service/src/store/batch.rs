//! From changes to rows: the part of writing that both databases share.

use super::missing::{as_json, missed_at};
use crate::record::{Change, Letter, Status, What};
use jiff::Timestamp;
use std::collections::HashMap;
use warren_messaging::request_id::RequestId;

/// Rows by kind, of which no two are of one request: within a batch, order does not matter. Each kind is sorted by id,
/// so that two replicas that write the same requests wait for each other instead of both for ever.
#[derive(Debug, Default)]
pub(super) struct Batch<'a> {
    pub(super) submitted: Vec<Submitted<'a>>,
    pub(super) started: Vec<Started<'a>>,
    pub(super) retrying: Vec<Retrying<'a>>,
    pub(super) ended: Vec<Ended<'a>>,
    /// Of those that ended in a failure.
    pub(super) letters: Vec<DeadLetter<'a>>,
}

#[derive(Debug)]
pub(super) struct Submitted<'a> {
    pub(super) id: &'a str,
    pub(super) at: i64,
    pub(super) deadline: Option<i64>,
}

#[derive(Debug)]
pub(super) struct Started<'a> {
    pub(super) id: &'a str,
    pub(super) attempt: i64,
    pub(super) replay: Option<i64>,
    pub(super) since: i64,
}

#[derive(Debug)]
pub(super) struct Retrying<'a> {
    pub(super) id: &'a str,
    pub(super) attempt: i64,
    pub(super) replay: Option<i64>,
    pub(super) next: i64,
    pub(super) error: &'a str,
    /// When it is missed, if nothing more was heard of it and there is a copy.
    pub(super) missed_at: Option<i64>,
    /// As JSON.
    pub(super) spare: Option<String>,
}

#[derive(Debug)]
pub(super) struct Ended<'a> {
    pub(super) id: &'a str,
    pub(super) status: &'static str,
    pub(super) attempt: i64,
    /// `None`: of the newest replay that is known.
    pub(super) replay: Option<i64>,
    pub(super) at: i64,
    pub(super) result: Option<&'a str>,
    pub(super) reason: Option<&'static str>,
    pub(super) error: Option<&'a str>,
}

#[derive(Debug)]
pub(super) struct DeadLetter<'a> {
    pub(super) id: &'a str,
    pub(super) attempt: i64,
    pub(super) replay: Option<i64>,
    pub(super) at: i64,
    pub(super) reason: &'static str,
    pub(super) error: &'a str,
    pub(super) letter: &'a Letter,
}

impl DeadLetter<'_> {
    pub(super) fn deadline(&self) -> Option<i64> {
        self.letter.deadline.map(Timestamp::as_microsecond)
    }
}

/// Batches to be written one after the other: the second has the second change of each request, and so on.
pub(super) fn batches<'a>(changes: &[&'a Change]) -> Vec<Batch<'a>> {
    let mut batches: Vec<Batch<'a>> = Vec::new();
    let mut seen: HashMap<&RequestId, usize> = HashMap::with_capacity(changes.len());
    for change in changes {
        let place = seen.entry(&change.id).and_modify(|place| *place += 1).or_default();
        if batches.len() == *place {
            batches.push(Batch::default());
        }
        batches[*place].add(change);
    }
    batches.iter_mut().for_each(Batch::sort);
    batches
}

impl<'a> Batch<'a> {
    fn add(&mut self, change: &'a Change) {
        let (id, at, replay) = (change.id.as_json(), change.at.as_microsecond(), change.replay.map(i64::from));
        match &change.what {
            What::Submitted { deadline } => {
                self.submitted.push(Submitted { id, at, deadline: deadline.map(Timestamp::as_microsecond) });
            }
            What::Started { attempt, since } => {
                let (attempt, since) = (i64::from(*attempt), since.as_microsecond());
                self.started.push(Started { id, attempt, replay, since });
            }
            What::Retrying { attempt, next, error, spare } => {
                let next = next.as_microsecond();
                let missed_at = spare.as_ref().map(|spare| missed_at(at, spare));
                let spare = spare.as_ref().map(|spare| as_json(*attempt, spare));
                let attempt = (*attempt).into();
                self.retrying.push(Retrying { id, attempt, replay, next, error, missed_at, spare });
            }
            What::Succeeded { attempt, result } => {
                let (status, attempt, result) = (Status::Succeeded.as_str(), i64::from(*attempt), Some(result.get()));
                self.ended.push(Ended { id, status, attempt, replay, at, result, reason: None, error: None });
            }
            What::Failed { attempt, reason, error, letter } => {
                let (status, attempt, word) = (Status::Failed.as_str(), i64::from(*attempt), reason.as_str());
                self.letters.push(DeadLetter { id, attempt, replay, at, reason: word, error, letter });
                let (reason, error) = (Some(word), Some(error.as_str()));
                self.ended.push(Ended { id, status, attempt, replay, at, result: None, reason, error });
            }
        }
    }

    fn sort(&mut self) {
        self.submitted.sort_unstable_by_key(|row| row.id);
        self.started.sort_unstable_by_key(|row| row.id);
        self.retrying.sort_unstable_by_key(|row| row.id);
        self.ended.sort_unstable_by_key(|row| row.id);
        self.letters.sort_unstable_by_key(|row| row.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(id: &str, what: What) -> Change {
        Change { id: RequestId::from_text(id).expect("is an id"), at: Timestamp::UNIX_EPOCH, replay: Some(0), what }
    }

    #[test]
    fn no_batch_has_two_changes_of_one_request_and_their_order_is_kept() {
        let started = |attempt| What::Started { attempt, since: Timestamp::UNIX_EPOCH };
        let (next, error) = (Timestamp::UNIX_EPOCH, "busy".into());
        let retrying = What::Retrying { attempt: 1, next, error, spare: None };
        let changes = [
            change("a", started(1)),
            change("b", What::Submitted { deadline: None }),
            change("a", retrying),
            change("a", started(2)),
        ];
        let batches = batches(&changes.iter().collect::<Vec<_>>());
        let counts: Vec<_> =
            batches.iter().map(|batch| (batch.submitted.len(), batch.started.len(), batch.retrying.len())).collect();
        assert_eq!(counts, [(1, 1, 0), (0, 0, 1), (0, 1, 0)]);
        assert_eq!(batches[2].started[0].attempt, 2);
    }

    #[test]
    fn rows_are_sorted_by_id() {
        let changes = ["c", "a", "b"].map(|id| change(id, What::Submitted { deadline: None }));
        let batches = batches(&changes.iter().collect::<Vec<_>>());
        let ids: Vec<_> = batches[0].submitted.iter().map(|row| row.id).collect();
        assert_eq!(ids, ["\"a\"", "\"b\"", "\"c\""]);
    }

    #[test]
    fn nothing_makes_no_batch() {
        assert!(batches(&[]).is_empty());
    }
}

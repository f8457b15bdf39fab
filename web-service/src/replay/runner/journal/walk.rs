//! The way through the journal: each request once.

use crate::store::{Found, Progress};
use jiff::Timestamp;
use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher as _, RandomState},
    mem,
    time::Duration,
};
use tokio::time::Instant;
use warren_messaging::{
    journal::{Entry, JournalError, Reader},
    message::{Incoming, Replayed},
    request_id::RequestId,
};

/// The most requests that are kept apart. The table of as many takes 75 MB and doubles with the next ones; four jobs may
/// be at work in a Pod of 512Mi.
const MOST_MET: usize = 7_000_000;
/// A batch ends after this time, full or not: what was taken first is to be published soon.
const LONGEST: Duration = Duration::from_secs(4);

/// Where a job is.
pub(super) struct Walk {
    /// The most requests that are in hand at a time.
    limit: u32,
    /// Hashes of the ids that were met. Two of seven million are equal by chance in one of a million jobs; the second
    /// request is then taken for a repeat.
    met: HashSet<u64>,
    /// How many these may be.
    most: usize,
    /// When the last of them was sent, or one before that tells.
    sent: Option<Timestamp>,
    hashes: RandomState,
    /// All before this place was read here.
    read: u64,
    /// All before this place was read, here or elsewhere.
    done: u64,
    /// What may have been published, and is not known to be: which replay of it, and whether something was heard.
    in_hand: HashMap<i64, (u32, bool)>,
}

/// A request of the journal.
pub(super) struct Request {
    pub(super) place: i64,
    id: RequestId,
    entry: Entry,
}

/// Some requests.
#[derive(Default)]
pub(super) struct Taken {
    /// Those that were not looked at yet.
    pub(super) new: Vec<Request>,
    /// Those that were in hand when the job was interrupted.
    pub(super) left: Vec<(Request, u32, bool)>,
    /// Places of those that were in hand and are in the stream no longer.
    pub(super) lost: Vec<i64>,
    /// Of those of which something was heard all the same: they are on the queue, or were.
    pub(super) heard: Vec<i64>,
    /// Whether that was all.
    pub(super) is_last: bool,
    /// Whether there is more than can be kept apart.
    pub(super) is_too_much: bool,
}

impl Walk {
    pub(super) fn new(limit: u32) -> Self {
        let (met, hashes) = (HashSet::new(), RandomState::new());
        Self { limit, met, most: MOST_MET, sent: None, hashes, read: 0, done: 0, in_hand: HashMap::new() }
    }

    /// Goes on from where the job is; where in the stream to begin for that, if not with the range.
    pub(super) fn begin(&mut self, progress: Progress) -> Option<u64> {
        self.done = u64::try_from(progress.read_to).unwrap_or_default();
        self.in_hand = progress.in_hand;
        let left = self.in_hand.keys().min().and_then(|place| u64::try_from(*place).ok());
        (self.read > 0).then(|| left.map_or(self.read, |left| left.min(self.read)))
    }

    /// Whether something was met before that may not be published yet.
    pub(super) fn has_some_in_hand(&self) -> bool {
        !self.in_hand.is_empty()
    }

    /// All before this place was read.
    pub(super) fn read_to(&self) -> i64 {
        i64::try_from(self.read.max(self.done)).unwrap_or(i64::MAX)
    }

    /// The next requests. Whoever drops this half-way, or cannot note what it gives, must [`Walk::forget`].
    pub(super) async fn take(&mut self, reader: &mut Reader) -> Result<Taken, JournalError> {
        let (mut taken, begun) = (Taken::default(), Instant::now());
        while taken.new.len() + taken.left.len() < self.limit as usize && begun.elapsed() < LONGEST {
            match reader.next().await {
                Ok(Some(entry)) if self.is_too_much(&entry) => {
                    taken.is_too_much = true;
                    break;
                }
                Ok(Some(entry)) => self.look(entry, &mut taken),
                Ok(None) => {
                    taken.is_last = true;
                    self.miss(&mut taken);
                    break;
                }
                // What was taken comes first; the next call meets the error again.
                Err(_) if taken.new.len() + taken.left.len() > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(taken)
    }

    /// Why a job ends that has met as many as it may.
    pub(super) fn too_much(&self) -> String {
        let most = self.most;
        let until = self.sent.map_or_else(|| "some of it".into(), |sent| format!("what was sent until about {sent}"));
        format!(
            "there are more than {most} requests in this time, and no more can be told apart in one replay: {until} was \
             seen to, replay the rest in smaller ranges of time"
        )
    }

    /// Whether it is one too many. Those that were met before, here or elsewhere, are not.
    fn is_too_much(&self, entry: &Entry) -> bool {
        self.met.len() >= self.most && entry.offset >= self.read && entry.is_original()
    }

    /// What was taken last may not have been noted: all is read once more.
    pub(super) fn forget(&mut self) {
        self.met.clear();
        self.read = 0;
    }

    /// What was not met is not there.
    fn miss(&mut self, taken: &mut Taken) {
        for (place, (_, is_heard)) in mem::take(&mut self.in_hand) {
            if is_heard { taken.heard.push(place) } else { taken.lost.push(place) }
        }
    }

    fn look(&mut self, mut entry: Entry, taken: &mut Taken) {
        let Ok(place) = i64::try_from(entry.offset) else { return };
        let is_new_here = entry.offset >= self.read;
        self.read = self.read.max(entry.offset + 1);
        let Some(id) = entry.request_id().filter(|_| entry.is_original()) else { return };
        // What is read on from somewhere has nothing before it.
        self.sent = entry.published_at.or(self.sent);
        entry.published_at = self.sent;
        let is_first = !is_new_here || self.met.insert(self.hashes.hash_one(&id));
        let request = Request { place, id, entry };
        if let Some((replay, is_heard)) = self.in_hand.remove(&place) {
            taken.left.push((request, replay, is_heard));
        } else if is_new_here && is_first && request.entry.offset >= self.done {
            taken.new.push(request);
        }
    }
}

impl Taken {
    pub(super) fn found(&self) -> Vec<Found> {
        let found = |request: &Request| Found {
            place: request.place,
            id: request.id.clone(),
            published_at: request.entry.published_at,
        };
        self.new.iter().map(found).collect()
    }
}

impl Request {
    /// The request again, as this replay of it.
    pub(super) fn replayed(self, replay: u32) -> Replayed {
        let incoming = Incoming(&self.entry.properties);
        let (traceparent, deadline) = (incoming.traceparent().map(str::to_owned), incoming.deadline());
        Replayed { request_id: self.id, replay, body: self.entry.body, traceparent, deadline }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use warren_messaging::message::Request;

    fn entry(offset: u64, id: &str) -> Entry {
        let (request_id, data) = (RequestId::from_text(id).expect("is an id"), serde_json::from_str("1"));
        let sent = Request { request_id, request_data: data.expect("is JSON") }.to_message();
        let published_at = Timestamp::from_second(i64::try_from(offset).expect("is small")).ok();
        Entry { offset, published_at, body: sent.body, properties: sent.properties }
    }

    #[test]
    fn what_does_not_tell_when_it_was_sent_counts_as_sent_with_the_one_before_it() {
        let (mut walk, mut taken) = (Walk::new(32), Taken::default());
        for untold in [4, 6] {
            walk.look(Entry { published_at: None, ..entry(untold, &format!("untold {untold}")) }, &mut taken);
            walk.look(entry(untold + 1, &format!("told {untold}")), &mut taken);
        }
        let seconds = taken.found().into_iter().map(|found| found.published_at.map(Timestamp::as_second));
        assert_eq!(seconds.collect::<Vec<_>>(), [None, Some(5), Some(5), Some(7)]);
    }

    #[test]
    fn one_more_than_can_be_kept_apart_is_too_much_and_what_was_met_before_is_not() {
        let (mut walk, mut taken) = (Walk { most: 2, ..Walk::new(32) }, Taken::default());
        for (offset, id) in [(4, "a"), (5, "a"), (6, "b")] {
            assert!(!walk.is_too_much(&entry(offset, id)), "{id}");
            walk.look(entry(offset, id), &mut taken);
        }
        assert_eq!(taken.new.iter().map(|request| request.place).collect::<Vec<_>>(), [4, 6]);
        assert!(walk.is_too_much(&entry(7, "c")));
        assert!(!walk.is_too_much(&entry(4, "a")), "when what is in hand is read again");
        let why = walk.too_much();
        assert!(why.contains("more than 2 requests") && why.contains("until about 1970-01-01T00:00:06Z"), "{why}");
    }
}

//! Requests that a replay took in hand and cannot put on the queue after all.

use crate::fixture::{StoreKind, TestStore, on_each_store};
use jiff::Timestamp;
use serde_json::value::RawValue;
use std::collections::HashMap;
use warren_messaging::{message::FailureReason, request_id::RequestId};
use warren_web_service::{
    dead_letter,
    journal::{Elsewhere, Wanted},
    record::{Change, Letter, Record, Status, What},
    store::{Batch, Chosen, Found, Granted, NewReplay, Round, Store},
};

on_each_store!(
    a_request_that_the_journal_no_longer_has_ends_as_failed_unless_something_was_heard_of_it,
    a_dead_letter_that_the_journal_no_longer_has_is_one_again,
);

const JOB: &str = "01a2034a-0000-7000-8000-000000000000";

fn id(text: &str) -> RequestId {
    RequestId::from_text(text).expect("is an id")
}

fn done(result: &str) -> What {
    What::Succeeded { attempt: 1, result: RawValue::from_string(result.into()).expect("is JSON") }
}

async fn record(store: &Store, name: &str, replay: u32, what: What) {
    let change = Change { id: id(name), at: Timestamp::now(), replay: Some(replay), what };
    store.record(vec![change]).await.expect("is recorded");
}

async fn found(store: &Store, name: &str) -> Record {
    store.find(&id(name)).await.expect("can be read").expect("is on record")
}

async fn dead_letters(store: &Store) -> usize {
    store.dead_letters(dead_letter::Filter::default(), None, 10).await.expect("can be read").letters.len()
}

/// Takes these in hand, as a replay of the journal, at places 1, 2 and so on.
async fn in_hand(store: &Store, names: &[&str], into: Option<Elsewhere>) -> HashMap<i64, u32> {
    let (since, until, elsewhere) = (Timestamp::UNIX_EPOCH, Timestamp::now(), into.is_some());
    let chosen = Chosen::Journal(Wanted { since, until, into, include_forgotten: false });
    store.create_replay(NewReplay { id: JOB.into(), chosen, rate: 1 }).await.expect("is made");
    assert!(store.take_lease(JOB, "test").await.expect("is asked"));
    let found = |(place, name): (i64, &&str)| Found { place, id: id(name), published_at: None };
    let batch = Batch {
        job: JOB.into(),
        owner: "test".into(),
        found: (1..).zip(names).map(found).collect(),
        read_to: 100,
        is_last: true,
        elsewhere,
        known_since: until,
        include_forgotten: false,
    };
    match store.begin_journal(batch).await.expect("is noted") {
        Granted::Some(granted) => granted,
        other => panic!("{other:?}"),
    }
}

async fn a_request_that_the_journal_no_longer_has_ends_as_failed_unless_something_was_heard_of_it(kind: StoreKind) {
    let place = TestStore::new(kind).await;
    let store = place.open().await;
    for name in ["lost", "heard"] {
        record(&store, name, 0, done("1")).await;
    }
    assert_eq!(in_hand(&store, &["lost", "heard"], None).await, HashMap::from([(1, 1), (2, 1)]));
    record(&store, "heard", 1, What::Started { attempt: 1, since: Timestamp::now() }).await;
    store.settle_replays(JOB, Round { failed: vec![1, 2], ..Round::default() }).await.expect("is noted");

    let lost = found(&store, "lost").await;
    assert_eq!((lost.status, lost.replays, lost.finished_at.is_some()), (Status::Failed, 1, true));
    let error = lost.error.expect("says why");
    assert_eq!(error.reason.as_deref(), Some("other"));
    assert!(error.message.contains("journal"), "{}", error.message);
    assert_eq!(found(&store, "heard").await.status, Status::Started);

    // It was on the queue after all.
    record(&store, "lost", 1, done("2")).await;
    let lost = found(&store, "lost").await;
    assert_eq!((lost.status, lost.error.is_none()), (Status::Succeeded, true));
}

async fn a_dead_letter_that_the_journal_no_longer_has_is_one_again(kind: StoreKind) {
    let place = TestStore::new(kind).await;
    let store = place.open().await;
    let letter = Letter { body: b"{}".into(), traceparent: None, deadline: None };
    let failed = What::Failed { attempt: 5, reason: FailureReason::Rejected, error: "no luck".into(), letter };
    record(&store, "a", 0, failed).await;
    in_hand(&store, &["a"], None).await;
    assert_eq!(dead_letters(&store).await, 0);
    store.settle_replays(JOB, Round { failed: vec![1], ..Round::default() }).await.expect("is noted");
    let record = found(&store, "a").await;
    assert_eq!((record.status, record.replays, record.attempts), (Status::Failed, 0, 5));
    assert_eq!(dead_letters(&store).await, 1);
}

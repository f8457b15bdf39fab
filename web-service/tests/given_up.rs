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
    replay::JobStatus,
    store::{Batch, Chosen, Found, Granted, NewReplay, Round, Store},
};

on_each_store!(
    a_request_that_the_journal_no_longer_has_ends_as_failed_unless_something_was_heard_of_it,
    a_dead_letter_that_the_journal_no_longer_has_is_one_again,
    a_cancelled_job_that_cannot_go_on_leaves_nothing_in_hand,
    a_job_that_fails_leaves_nothing_in_hand,
    a_replay_into_another_pipeline_keeps_no_copy_among_the_dead_letters,
);

const JOB: &str = "01a2034a-0000-7000-8000-000000000000";

fn id(text: &str) -> RequestId {
    RequestId::from_text(text).expect("is an id")
}

fn done(result: &str) -> What {
    What::Succeeded { attempt: 1, result: RawValue::from_string(result.into()).expect("is JSON") }
}

fn rejected() -> What {
    let letter = Letter { body: b"{}".into(), traceparent: None, deadline: None };
    What::Failed { attempt: 5, reason: FailureReason::Rejected, error: "no luck".into(), letter }
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
async fn in_hand(store: &Store, names: &[&str]) -> HashMap<i64, u32> {
    in_hand_as(store, JOB, names, None).await
}

async fn in_hand_as(store: &Store, job: &str, names: &[&str], into: Option<Elsewhere>) -> HashMap<i64, u32> {
    let (since, until, elsewhere) = (Timestamp::UNIX_EPOCH, Timestamp::now(), into.is_some());
    let chosen = Chosen::Journal(Wanted { since, until, into, include_forgotten: false });
    store.create_replay(NewReplay { id: job.into(), chosen, rate: 1 }).await.expect("is made");
    assert!(store.take_lease(job, "test").await.expect("is asked"));
    let found = |(place, name): (i64, &&str)| Found { place, id: id(name), published_at: None };
    let batch = Batch {
        job: job.into(),
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
    assert_eq!(in_hand(&store, &["lost", "heard"]).await, HashMap::from([(1, 1), (2, 1)]));
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

async fn a_cancelled_job_that_cannot_go_on_leaves_nothing_in_hand(kind: StoreKind) {
    let place = TestStore::new(kind).await;
    let store = place.open().await;
    record(&store, "a", 0, done("1")).await;
    in_hand(&store, &["a"]).await;
    assert!(!store.abandon_if_cancelled(JOB).await.expect("is asked"), "nobody cancelled it");
    let job = store.cancel_replay(JOB).await.expect("is asked").expect("is there");
    assert_eq!(job.status, JobStatus::Cancelling);
    assert!(store.abandon_if_cancelled(JOB).await.expect("is asked"));
    let job = store.find_replay(JOB).await.expect("can be read").expect("is there");
    assert_eq!(job.status, JobStatus::Cancelled);
    assert!(store.unfinished_replays().await.expect("can be read").is_empty());
    assert_eq!(found(&store, "a").await.status, Status::Failed);
}

async fn a_job_that_fails_leaves_nothing_in_hand(kind: StoreKind) {
    let place = TestStore::new(kind).await;
    let store = place.open().await;
    record(&store, "done", 0, done("1")).await;
    record(&store, "rejected", 0, rejected()).await;
    in_hand(&store, &["done", "rejected"]).await;
    for error in ["too much", "later"] {
        store.fail_replay(JOB, error.into()).await.expect("is asked");
    }
    let job = store.find_replay(JOB).await.expect("can be read").expect("is there");
    assert_eq!((job.status, job.error.as_deref()), (JobStatus::Failed, Some("too much")));
    assert_eq!(found(&store, "done").await.status, Status::Failed);
    assert_eq!(dead_letters(&store).await, 1, "it is one again");
}

async fn a_replay_into_another_pipeline_keeps_no_copy_among_the_dead_letters(kind: StoreKind) {
    let place = TestStore::new(kind).await;
    let store = place.open().await;
    record(&store, "a", 0, rejected()).await;
    assert_eq!(in_hand(&store, &["a"]).await, HashMap::from([(1, 1)]));
    store.settle_replays(JOB, Round { published: vec![1], ..Round::default() }).await.expect("is noted");
    let to_sweep = async || store.to_sweep(10).await.expect("can be read").len();
    assert_eq!(to_sweep().await, 0, "a job is at work");
    store.cancel_replay(JOB).await.expect("is asked");
    assert_eq!(to_sweep().await, 1);
    let into = Some(Elsewhere { exchange: "q".into() });
    in_hand_as(&store, "01a2034a-0000-7000-8000-000000000001", &["a"], into).await;
    assert_eq!(to_sweep().await, 1);
}

async fn a_dead_letter_that_the_journal_no_longer_has_is_one_again(kind: StoreKind) {
    let place = TestStore::new(kind).await;
    let store = place.open().await;
    record(&store, "a", 0, rejected()).await;
    in_hand(&store, &["a"]).await;
    assert_eq!(dead_letters(&store).await, 0);
    store.settle_replays(JOB, Round { failed: vec![1], ..Round::default() }).await.expect("is noted");
    let record = found(&store, "a").await;
    assert_eq!((record.status, record.replays, record.attempts), (Status::Failed, 0, 5));
    assert_eq!(dead_letters(&store).await, 1);
}

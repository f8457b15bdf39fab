//! Reads that take long, and who must not wait for them.

use crate::fixture::{SOON, StoreKind, TestStore, on_each_store};
use jiff::Timestamp;
use sqlx::{Connection as _, PgConnection};
use std::time::Duration;
use warren_messaging::{message::FailureReason, request_id::RequestId};
use warren_testkit::{eventually, postgres::Database};
use warren_web_service::{
    record::{Change, Letter, What},
    replay::JobStatus,
    store::{Begun, Chosen, NewReplay, Round, Store},
};

on_each_store!(
    what_failed_is_counted_whole_however_far_apart_it_is,
    a_step_of_a_replay_looks_at_no_more_than_others_can_wait_for,
);

fn id(text: &str) -> RequestId {
    RequestId::from_text(text).expect("is an id")
}

async fn record(store: &Store, name: &str, what: What) {
    let change = Change { id: id(name), at: Timestamp::now(), replay: Some(0), what };
    store.record(vec![change]).await.expect("is recorded");
}

async fn fail(store: &Store, name: &str) {
    let letter = Letter { body: b"{}".into(), traceparent: None, deadline: None };
    let (reason, error) = (FailureReason::AttemptsExhausted, "no luck".into());
    record(store, name, What::Failed { attempt: 1, reason, error, letter }).await;
}

fn all_that_failed() -> NewReplay {
    NewReplay { id: "job".into(), chosen: Chosen::Filtered(Default::default()), rate: 100 }
}

/// Three dead letters, with places for thousands of others between them.
async fn far_apart(kind: StoreKind) -> (TestStore, Store) {
    let place = TestStore::new(kind).await;
    let store = place.open().await;
    for name in ["a", "b", "c"] {
        fail(&store, name).await;
        let jump = match kind {
            StoreKind::Sqlite => "UPDATE sqlite_sequence SET seq = 3 * seq + 10000 WHERE name = 'dead_letters'",
            StoreKind::Postgres => "SELECT setval('dead_letters_seq_seq', 3 * max(seq) + 10000) FROM dead_letters",
        };
        place.execute(jump).await;
    }
    (place, store)
}

async fn what_failed_is_counted_whole_however_far_apart_it_is(kind: StoreKind) {
    let (_place, store) = far_apart(kind).await;
    assert_eq!(store.create_replay(all_that_failed()).await.expect("is made").total, 3);
}

async fn a_step_of_a_replay_looks_at_no_more_than_others_can_wait_for(kind: StoreKind) {
    let (_place, store) = far_apart(kind).await;
    store.create_replay(all_that_failed()).await.expect("is made");
    store.take_lease("job", "me").await.expect("is taken");
    let mut steps = Vec::new();
    while let Begun::Some(in_hand) = store.begin_replays("job", "me", 10).await.expect("begins") {
        steps.push(in_hand.len());
        let published = in_hand.into_iter().map(|request| request.place).collect();
        store.settle_replays("job", Round { published, ..Round::default() }).await.expect("is noted");
    }
    assert_eq!(steps, [1, 1, 0, 0, 1]);
    let job = store.find_replay("job").await.expect("can be read").expect("is there");
    assert_eq!((job.status, job.replayed, job.skipped), (JobStatus::Done, 3, 0));
}

/// A database in which another program has locked a table, so that reading takes as long as it likes.
async fn locked(table: &str) -> (TestStore, Store, PgConnection) {
    let place = TestStore::new(StoreKind::Postgres).await;
    let store = place.open().await;
    let mut other = PgConnection::connect(&database(&place).url()).await.expect("connects");
    let lock = format!("BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE");
    sqlx::raw_sql(sqlx::AssertSqlSafe(lock)).execute(&mut other).await.expect("is locked");
    (place, store, other)
}

fn database(place: &TestStore) -> &Database {
    let TestStore::Database(database) = place else { panic!("the test is on a database") };
    database
}

async fn reads_wait(place: &TestStore, count: i64, patience: Duration) {
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                   AND wait_event_type = 'Lock' AND query LIKE 'SELECT%'";
    eventually(&format!("{count} reads to wait"), patience, async || database(place).number(waiting).await == count)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_who_writes_waits_for_the_count_of_what_failed() {
    let (place, store, other) = locked("dead_letters").await;
    let asking = tokio::spawn({
        let store = store.clone();
        async move { store.create_replay(all_that_failed()).await }
    });
    reads_wait(&place, 1, SOON).await;
    let submitted = record(&store, "a", What::Submitted { deadline: None });
    tokio::time::timeout(Duration::from_secs(5), submitted).await.expect("does not wait for the count");
    other.close().await.expect("unlocks");
    assert_eq!(asking.await.expect("does not panic").expect("is made").total, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_nobody_waits_for_any_more_ends_at_the_database_too() {
    let (place, store, _other) = locked("requests").await;
    let asking = tokio::spawn(async move { store.find(&id("a")).await });
    reads_wait(&place, 1, SOON).await;
    asking.await.expect("does not panic").expect_err("is given up");
    reads_wait(&place, 0, SOON).await;
}

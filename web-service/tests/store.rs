//! The store itself: what it makes of changes, in whatever order and company they come.

use crate::fixture::{StoreKind, TestStore, on_each_store};
use jiff::{Timestamp, ToSpan as _};
use proptest::{
    prelude::{Just, Strategy as _},
    prop_assert_eq,
    test_runner::{Config, TestRunner},
};
use serde_json::value::RawValue;
use std::sync::atomic::{AtomicU32, Ordering};
use warren_messaging::{message::FailureReason, request_id::RequestId};
use warren_web_service::{
    record::{Change, Letter, Record, Status, What},
    store::{Filter, Store},
};

on_each_store!(
    changes_of_one_request_make_the_same_record_in_any_order_and_company,
    changes_of_several_replays_make_the_same_record_in_any_order_and_however_often,
    what_does_not_say_its_replay_is_about_the_newest,
    the_first_end_in_a_batch_counts,
    progress_that_is_no_news_changes_nothing,
    the_start_that_a_record_shows_is_that_of_its_newest_attempt,
    a_large_batch_is_recorded_whole,
    an_error_with_any_character_is_kept,
    what_a_later_version_added_is_no_hindrance,
    pages_follow_the_order_of_arrival_and_statuses_are_told_apart,
    only_what_ended_before_a_time_is_forgotten_and_only_so_much,
    a_lease_has_one_owner_and_none_that_took_it_before_the_clock_was_set_back,
);

fn id(text: &str) -> RequestId {
    RequestId::from_text(text).expect("is an id")
}

fn second(number: i64) -> Timestamp {
    Timestamp::from_second(number).expect("is a time")
}

fn change(name: &str, at: i64, what: What) -> Change {
    Change { id: id(name), at: second(at), replay: Some(0), what }
}

fn succeeded(attempt: u32, result: &str) -> What {
    What::Succeeded { attempt, result: RawValue::from_string(result.into()).expect("is JSON") }
}

fn submitted() -> What {
    What::Submitted { deadline: None }
}

fn failed(attempt: u32, error: &str) -> What {
    let letter = Letter { body: b"{}".into(), traceparent: None, deadline: None };
    What::Failed { attempt, reason: FailureReason::AttemptsExhausted, error: error.into(), letter }
}

fn started(attempt: u32) -> What {
    What::Started { attempt, since: second(i64::from(attempt)) }
}

fn retrying(attempt: u32) -> What {
    What::Retrying { attempt, next: second(1000), error: format!("attempt {attempt}"), spare: None }
}

async fn open(kind: StoreKind) -> (TestStore, Store) {
    let place = TestStore::new(kind).await;
    let store = place.open().await;
    (place, store)
}

async fn record(store: &Store, changes: Vec<Change>) {
    store.record(changes).await.expect("is recorded");
}

async fn found(store: &Store, name: &str) -> Record {
    store.find(&id(name)).await.expect("can be read").unwrap_or_else(|| panic!("no record of {name}"))
}

async fn changes_of_one_request_make_the_same_record_in_any_order_and_company(kind: StoreKind) {
    let (_place, store) = open(kind).await;
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    for (number, order) in orders.iter().enumerate() {
        let change = |name: &str, what: usize| match what {
            0 => change(name, 1, submitted()),
            1 => change(name, 2, started(1)),
            _ => change(name, 3, succeeded(1, "7")),
        };
        let (alone, together) = (format!("alone-{number}"), format!("together-{number}"));
        for what in order {
            record(&store, vec![change(&alone, *what), change(&alone, *what)]).await;
        }
        record(&store, order.iter().map(|what| change(&together, *what)).collect()).await;
        for name in [alone, together] {
            let record = found(&store, &name).await;
            assert_eq!((record.status, record.attempts), (Status::Succeeded, 1), "{name} {order:?}");
            assert_eq!((record.submitted_at, record.finished_at), (Some(second(1)), Some(second(3))), "{name}");
            assert_eq!(record.result.expect("has one").get(), "7");
        }
    }
}

/// What of a record does not depend on the order in which it was made.
fn essence(record: Record) -> impl PartialEq + std::fmt::Debug {
    let end = record.status.is_final().then(|| record.error.map(|error| error.message));
    let history: Vec<_> = record.history.into_iter().map(|past| (past.replay, past.attempts, past.message)).collect();
    let times = (record.submitted_at, record.next_attempt_at, record.finished_at);
    (record.status, record.replays, record.attempts, times, record.result.map(|json| json.to_string()), end, history)
}

async fn changes_of_several_replays_make_the_same_record_in_any_order_and_however_often(kind: StoreKind) {
    let (_place, store) = open(kind).await;
    let of_replay = |replay: u32| {
        let end = if replay == 2 { succeeded(3, "7") } else { failed(replay + 1, &format!("replay {replay}")) };
        [started(1), retrying(1), started(2), end].map(|what| (Some(replay), what))
    };
    // Any of these, in any order, some of them twice.
    let changes = || (0..3).flat_map(of_replay).chain([(None, submitted())]).enumerate();
    let chosen = proptest::sample::subsequence((0..13).collect::<Vec<usize>>(), 1..13);
    let orders = chosen.prop_flat_map(|chosen| {
        let twice: Vec<usize> = chosen.iter().chain(chosen.iter().step_by(2)).copied().collect();
        (Just(chosen).prop_shuffle(), Just(twice).prop_shuffle())
    });
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::with_cases(60) });
    let count = AtomicU32::new(0);
    let outcome = runner.run(&orders, |(one, other)| {
        let number = count.fetch_add(1, Ordering::Relaxed);
        let made = async |name: String, order: &[usize], together: bool| {
            let mut all = Vec::new();
            for wanted in order {
                let (_, (replay, what)) = changes().nth(*wanted).expect("is one of them");
                let at = i64::try_from(*wanted).expect("is small");
                all.push(Change { replay, ..change(&name, at, what) });
            }
            if together {
                record(&store, all).await;
            } else {
                for one in all {
                    record(&store, vec![one]).await;
                }
            }
            essence(found(&store, &name).await)
        };
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                let first = made(format!("{number}-one"), &one, false).await;
                prop_assert_eq!(&first, &made(format!("{number}-other"), &other, false).await);
                prop_assert_eq!(&first, &made(format!("{number}-together"), &other, true).await);
                Ok(())
            })
        })
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
}

async fn what_does_not_say_its_replay_is_about_the_newest(kind: StoreKind) {
    let (_place, store) = open(kind).await;
    let of = |replay, at, what| Change { replay, ..change("a", at, what) };
    record(&store, vec![of(None, 1, failed(1, "first"))]).await;
    record(&store, vec![of(Some(1), 2, started(1)), of(None, 3, failed(2, "second"))]).await;
    let record_of_a = found(&store, "a").await;
    assert_eq!((record_of_a.status, record_of_a.replays, record_of_a.attempts), (Status::Failed, 1, 2));
    assert_eq!(record_of_a.history.len(), 1);
    record(&store, vec![of(Some(2), 4, started(1)), of(Some(1), 5, succeeded(1, "1")), of(None, 6, succeeded(1, "2"))])
        .await;
    let record_of_a = found(&store, "a").await;
    assert_eq!((record_of_a.status, record_of_a.replays), (Status::Succeeded, 2));
    assert_eq!(record_of_a.result.expect("has one").get(), "2");
}

async fn the_first_end_in_a_batch_counts(kind: StoreKind) {
    let (_place, store) = open(kind).await;
    let failed = failed(2, "no luck");
    record(&store, vec![change("a", 1, succeeded(1, "1")), change("a", 2, succeeded(2, "2")), change("a", 3, failed)])
        .await;
    record(&store, vec![change("a", 4, succeeded(4, "4")), change("a", 5, started(9)), change("a", 6, retrying(9))])
        .await;
    let record = found(&store, "a").await;
    assert_eq!((record.status, record.attempts, record.finished_at), (Status::Succeeded, 1, Some(second(1))));
    assert_eq!(record.result.expect("has one").get(), "1");
    assert!(record.error.is_none());
}

async fn progress_that_is_no_news_changes_nothing(kind: StoreKind) {
    let (_place, store) = open(kind).await;
    record(&store, vec![change("a", 1, retrying(1)), change("a", 1, started(2)), change("a", 1, started(1))]).await;
    let record = found(&store, "a").await;
    assert_eq!((record.status, record.attempts, record.started_at), (Status::Started, 2, Some(second(2))));
    assert_eq!(record.next_attempt_at, None);
    assert_eq!(record.error.expect("the last one is kept").message, "attempt 1");
    self::record(&store, vec![change("a", 1, retrying(2)), change("a", 1, started(2))]).await;
    let record = found(&store, "a").await;
    assert_eq!((record.status, record.next_attempt_at), (Status::Retrying, Some(second(1000))));
}

async fn the_start_that_a_record_shows_is_that_of_its_newest_attempt(kind: StoreKind) {
    let (_place, store) = open(kind).await;
    for (number, what) in [retrying(1), retrying(2), failed(1, "no luck"), succeeded(2, "1")].into_iter().enumerate() {
        let (name, is_same) = (number.to_string(), number % 2 == 0);
        record(&store, vec![change(&name, 1, started(1)), change(&name, 2, what)]).await;
        assert_eq!(found(&store, &name).await.started_at, is_same.then(|| second(1)), "{number}");
    }
}

async fn a_large_batch_is_recorded_whole(kind: StoreKind) {
    let (_place, store) = open(kind).await;
    let name = |number: usize| format!("{number}-{}", "x".repeat(200));
    record(&store, (0..3000).map(|number| change(&name(number), 1, submitted())).collect()).await;
    record(&store, (0..3000).map(|number| change(&name(number), 2, succeeded(1, &number.to_string()))).collect()).await;
    for number in [0, 1, 1499, 2999] {
        assert_eq!(found(&store, &name(number)).await.result.expect("has one").get(), number.to_string());
    }
    let filter = Filter { status: Some(Status::Succeeded), before: None, limit: 5000 };
    assert_eq!(store.list(&filter).await.expect("can be read").records.len(), 3000);
}

async fn an_error_with_any_character_is_kept(kind: StoreKind) {
    let (_place, store) = open(kind).await;
    let error = || "nul \0, emoji 🐇, quote ' and \u{feff}".to_owned();
    let failed = failed(1, &error());
    let next = What::Retrying { attempt: 1, next: second(9), error: error(), spare: None };
    record(&store, vec![change("failed", 1, failed), change("retrying", 1, next)]).await;
    record(&store, vec![change("result", 1, succeeded(1, r#"{"nul": "\u0000", "b": 1.50, "a": 2}"#))]).await;
    for name in ["failed", "retrying"] {
        let message = found(&store, name).await.error.expect("has one").message;
        assert!(message.starts_with("nul ") && message.ends_with(", emoji 🐇, quote ' and \u{feff}"), "{message:?}");
    }
    let result = found(&store, "result").await.result.expect("has one");
    assert_eq!(result.get(), r#"{"nul": "\u0000", "b": 1.50, "a": 2}"#, "byte for byte");
}

async fn what_a_later_version_added_is_no_hindrance(kind: StoreKind) {
    let (place, store) = open(kind).await;
    record(&store, vec![change("a", 1, submitted())]).await;
    place.execute("ALTER TABLE requests ADD COLUMN later TEXT").await;
    place
        .execute(
            "INSERT INTO _sqlx_migrations (version, description, installed_on, success, checksum, execution_time)
             VALUES (9999, 'later', CURRENT_TIMESTAMP, true, '', 0)",
        )
        .await;
    let again = place.open().await;
    record(&again, vec![change("a", 2, succeeded(1, "7")), change("b", 3, submitted())]).await;
    assert_eq!(found(&again, "a").await.result.expect("has one").get(), "7");
    let page = again.list(&Filter { status: None, before: None, limit: 5 }).await.expect("can be read");
    assert_eq!(page.records.len(), 2);
}

async fn pages_follow_the_order_of_arrival_and_statuses_are_told_apart(kind: StoreKind) {
    let (_place, store) = open(kind).await;
    let names: Vec<_> = ["c", "a", "d", "b", "e"].map(str::to_owned).into();
    for name in &names {
        record(&store, vec![change(name, 1, submitted())]).await;
    }
    record(&store, vec![change("d", 2, succeeded(1, "1"))]).await;
    let (mut seen, mut before) = (Vec::new(), None);
    loop {
        let page = store.list(&Filter { status: None, before, limit: 2 }).await.expect("can be read");
        assert!(page.records.iter().all(|record| record.result.is_none()), "a list is without results");
        seen.extend(page.records.iter().map(|record| record.request_id.to_string()));
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(seen, names.iter().rev().cloned().collect::<Vec<_>>());
    let queued = Filter { status: Some(Status::Queued), before: None, limit: 4 };
    let page = store.list(&queued).await.expect("can be read");
    assert_eq!((page.records.len(), page.next), (4, None), "no empty page follows a full one");
}

async fn only_what_ended_before_a_time_is_forgotten_and_only_so_much(kind: StoreKind) {
    let (_place, store) = open(kind).await;
    let mut changes: Vec<_> = (0..10).map(|number| change(&format!("{number}"), number, succeeded(1, "1"))).collect();
    changes.push(change("waiting", 0, submitted()));
    changes.push(change("failed", 0, failed(1, "no luck")));
    record(&store, changes).await;
    let before = second(5).checked_add(500.milliseconds()).expect("is a time");
    assert_eq!(store.forget(Status::Succeeded, before, 4).await.expect("can be written"), 4);
    assert_eq!(store.forget(Status::Succeeded, before, 4).await.expect("can be written"), 2);
    assert_eq!(store.forget(Status::Succeeded, before, 4).await.expect("can be written"), 0);
    assert!(store.find(&id("5")).await.expect("can be read").is_none());
    assert_eq!(found(&store, "6").await.status, Status::Succeeded);
    assert_eq!(found(&store, "waiting").await.status, Status::Queued);
    assert_eq!(found(&store, "failed").await.status, Status::Failed);
    assert_eq!(store.forget(Status::Failed, before, 4).await.expect("can be written"), 1);
    let letters = store.dead_letters(Default::default(), None, 10).await.expect("can be read").letters;
    assert!(letters.is_empty(), "a dead letter goes with its request: {letters:?}");
}

async fn a_lease_has_one_owner_and_none_that_took_it_before_the_clock_was_set_back(kind: StoreKind) {
    let place = TestStore::new(kind).await;
    let store = place.open().await;
    let take = async |name: &str, owner: &str| store.take_lease(name, owner).await.expect("is asked");
    assert_eq!([take("a", "one").await, take("a", "other").await, take("a", "one").await], [true, false, true]);
    place.execute("INSERT INTO leases (name, owner, ends_at) VALUES ('b', 'gone', 9000000000000000)").await;
    assert_eq!([take("b", "one").await, take("b", "other").await], [true, false]);
    let renew = async |owner: &str| store.renew_lease("b", owner).await.expect("is asked");
    assert_eq!([renew("one").await, renew("other").await], [true, false]);
    store.release_lease("b", "one").await.expect("is given back");
    assert!(!renew("one").await, "somebody else may have had it since");
}

//! Several web sides on one PostgreSQL database and one broker.

use crate::fixture::{SOON, StoreKind, TestStore, Web, result, web_on};
use jiff::Timestamp;
use serde_json::{Value, json, value::RawValue};
use std::time::Duration;
use tokio::time::Instant;
use warren_messaging::request_id::RequestId;
use warren_testkit::{broker::Vhost, eventually, postgres::Database};
use warren_web_service::{
    record::{Change, What},
    store::{Location, Store},
};

/// A second web side on the first one's database.
async fn second(database: &Database, vhost: &Vhost) -> Web {
    let arguments = ["--postgres-url", &database.url()];
    let web = Web::start_on(&vhost.url(), &arguments).await;
    web.ready().await;
    web
}

fn database(web: &Web) -> &Database {
    match &web.store {
        TestStore::Database(database) => database,
        TestStore::File(_) => panic!("the test is on a database"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_poll_is_answered_at_once_whichever_replica_gets_the_result() {
    let (vhost, one) = web_on(StoreKind::Postgres, "replicas").await;
    let other = second(database(&one), &vhost).await;
    // RabbitMQ hands results to the two in turn, so both directions come up.
    for round in 0..12 {
        let (submitting, polling) = if round % 2 == 0 { (&one, &other) } else { (&other, &one) };
        let id = submitting.submit(json!(round)).await;
        let poll = polling.poll(&id).await;
        let begun = Instant::now();
        result(&vhost, &json!(id), json!(round)).await;
        let (_, record) = tokio::time::timeout(SOON, poll).await.expect("ends").expect("does not panic");
        let took = begun.elapsed();
        assert_eq!(record["result"], round, "{record}");
        assert!(took < Duration::from_millis(900), "polling would take 1 s, this took {took:?}");
    }
    let total = recorded(&one).await + recorded(&other).await;
    assert_eq!(total, 12, "each result is taken by one of the two");
    assert!(recorded(&one).await > 0 && recorded(&other).await > 0, "both take results");
}

/// Recorded beside any web side, so that nothing but the notification can wake the poll.
#[tokio::test(flavor = "multi_thread")]
async fn a_notification_takes_milliseconds() {
    let (_vhost, web) = web_on(StoreKind::Postgres, "notified").await;
    let (elsewhere, mut took) = (web.store.open().await, Vec::new());
    for round in 0..20 {
        let id = web.submit(json!(round)).await;
        let poll = web.poll(&id).await;
        let what = What::Succeeded { attempt: 1, result: RawValue::from_string("7".into()).expect("is JSON") };
        let change =
            Change { id: RequestId::from_text(&id).expect("is an id"), at: Timestamp::now(), replay: Some(0), what };
        let begun = Instant::now();
        elsewhere.record([change]).await.expect("is recorded");
        let (_, record) = tokio::time::timeout(SOON, poll).await.expect("ends").expect("does not panic");
        assert_eq!(record["result"], 7, "{record}");
        took.push(begun.elapsed());
    }
    took.sort();
    eprintln!("from record to answer: median {:?}, longest {:?}", took[10], took[19]);
    assert!(took[10] < Duration::from_millis(200), "{took:?}");
}

/// How many ends a web side has recorded.
async fn recorded(web: &Web) -> u64 {
    let metrics = web.get("/metrics").await.text().await.expect("is text");
    let line = metrics.lines().find(|line| line.starts_with("warren_web_requests_ended_total"));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_start_together_on_an_empty_database_agree() {
    let place = TestStore::new(StoreKind::Postgres).await;
    let TestStore::Database(database) = &place else { unreachable!("it is one") };
    let open = || async {
        let location = Location::Database { url: database.url().parse().expect("an address"), exchange: "p".into() };
        let (store, _) = Store::open(location).await.expect("opens");
        eventually("the store to be ready", SOON, async || store.health().failure().map_or(Ok(()), Err)).await;
    };
    futures::future::join_all((0..8).map(|_| open())).await;
    assert_eq!(database.number("SELECT count(*) FROM _sqlx_migrations").await, 4);
    assert_eq!(database.number("SELECT count(*) FROM pipeline").await, 1);
    let locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    assert_eq!(database.number(locks).await, 0, "no lock is left behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_notifications_a_long_poll_looks_for_itself() {
    let (vhost, one) = web_on(StoreKind::Postgres, "deaf").await;
    let id = one.submit(json!(1)).await;
    let poll = one.poll(&id).await;
    let end = format!(
        "UPDATE requests SET status = 'succeeded', finished_at = 1, result = '\"by hand\"' WHERE id = '\"{id}\"'"
    );
    let base = database(&one);
    base.execute(&end).await;
    let listeners = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE '%pg_notify($1%'";
    assert_eq!(base.number(listeners).await, 1, "one connection listens");
    base.execute(&format!(
        "SELECT pg_terminate_backend(pid) FROM ({}) AS listeners",
        listeners.replace("count(*)", "pid")
    ))
    .await;
    let begun = Instant::now();
    let (_, record) = tokio::time::timeout(SOON, poll).await.expect("ends").expect("does not panic");
    assert_eq!(record["result"], "by hand");
    assert!(begun.elapsed() < Duration::from_secs(5), "took {:?}", begun.elapsed());
    // It listens again.
    eventually("a new listener", SOON, async || base.number(listeners).await == 1).await;
    drop(vhost);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_results_at_two_replicas_are_recorded_once_each() {
    let (vhost, one) = web_on(StoreKind::Postgres, "many").await;
    let other = second(database(&one), &vhost).await;
    let submits = (0..200).map(|number| {
        let web = if number % 2 == 0 { &one } else { &other };
        async move { web.submit(json!(number)).await }
    });
    let ids = futures::future::join_all(submits).await;
    // Each result twice, as after a redelivery, in another order the second time.
    for id in ids.iter().chain(ids.iter().rev()) {
        result(&vhost, &json!(id), json!("done")).await;
    }
    vhost.queue_when("p.results", "all to be taken", SOON, |queue| queue.messages == 0).await;
    let base = database(&one);
    eventually("all to be recorded", SOON, async || {
        base.number("SELECT count(*) FROM requests WHERE status = 'succeeded'").await == 200
    })
    .await;
    assert_eq!(base.number("SELECT count(*) FROM requests").await, 200);
    let page: Value = other.get_json("/api/v1/requests?limit=1000&status=succeeded").await;
    assert_eq!(page["requests"].as_array().map(Vec::len), Some(200));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_pipeline_on_the_same_database_is_refused_by_name() {
    let place = TestStore::new(StoreKind::Postgres).await;
    let TestStore::Database(database) = &place else { unreachable!("it is one") };
    let open = async |exchange: &str| {
        let location = Location::Database { url: database.url().parse().expect("is one"), exchange: exchange.into() };
        Store::open(location).await.expect("opens").0
    };
    let first = open("thumbnails").await;
    eventually("the first to be ready", SOON, async || first.health().failure().is_none()).await;
    let second = open("invoices").await;
    eventually("the second to be refused", SOON, async || match second.health().failure() {
        Some(text) if text.contains("`thumbnails`") && text.contains("a database of its own") => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_pipelines_may_share_a_database_with_a_schema_each() {
    let place = TestStore::new(StoreKind::Postgres).await;
    let TestStore::Database(database) = &place else { unreachable!("it is one") };
    for exchange in ["thumbnails", "invoices"] {
        database.execute(&format!("CREATE SCHEMA {exchange}")).await;
        let url = format!("{}?options=-csearch_path%3D{exchange}", database.url()).parse().expect("is one");
        let (store, _) = Store::open(Location::Database { url, exchange: exchange.into() }).await.expect("opens");
        eventually("the store to be ready", SOON, async || store.health().failure().map_or(Ok(()), Err)).await;
        let id = RequestId::from_text("same").expect("is an id");
        let submitted =
            Change { id: id.clone(), at: Timestamp::now(), replay: Some(0), what: What::Submitted { deadline: None } };
        store.record([submitted]).await.expect("is recorded");
        assert!(store.find(&id).await.expect("can be read").is_some());
        assert_eq!(database.number(&format!("SELECT count(*) FROM {exchange}.requests")).await, 1);
    }
}

//! Requests that RabbitMQ does not bring back for their next attempt.

use crate::fixture::{SOON, StoreKind, TestStore, Web, on_each_store, result, web_on};
use jiff::Timestamp;
use lapin::BasicProperties;
use serde_json::{json, value::RawValue};
use std::time::Duration;
use warren_messaging::{
    message::{Event, Incoming, Progress, Spare, retry},
    request_id::RequestId,
};
use warren_testkit::{broker::Vhost, eventually};
use warren_web_service::{
    record::{Change, What},
    store::{Missing, Store},
};

on_each_store!(
    a_request_that_does_not_come_back_is_put_on_the_queue_once_it_can_be_nowhere_else,
    what_was_heard_of_again_is_missed_no_more,
    a_missed_request_is_one_replicas_to_put_back_and_missed_again_later,
);

/// Enough looks for a request to be put back.
const LOOKS: Duration = Duration::from_secs(60);

fn id(text: &str) -> RequestId {
    RequestId::from_text(text).expect("is an id")
}

fn spare(name: &str, body: &[u8], attempt: u32) -> Option<Spare> {
    let delay = Duration::from_secs(1);
    Spare::of(&retry(&id(name), body, &BasicProperties::default(), attempt, delay), delay, delay)
}

/// Takes the request from its queue as a processor whose attempt fails, but brings it into no retry queue. Returns its body.
async fn lose(vhost: &Vhost, name: &str) -> Vec<u8> {
    let taken = eventually("the request", SOON, async || vhost.get("p.requests").await).await;
    let (error, next_attempt_at) = ("busy".into(), Timestamp::now());
    let progress = Progress::Retrying { error, next_attempt_at, spare: spare(name, &taken.data, 2) };
    let event = Event { request_id: id(name), attempt: 1, replay: Some(0), progress };
    vhost.publish("p", "event", event.to_message().body).await;
    taken.data
}

/// Waits until a look has found so many missing.
async fn counts(web: &Web, missing: u32) {
    let wanted = format!("warren_web_requests_missing {missing}\n");
    eventually(&wanted, LOOKS, async || {
        let metrics = web.get("/metrics").await.text().await.expect("is text");
        if metrics.contains(&wanted) { Ok(()) } else { Err(metrics) }
    })
    .await;
}

async fn a_request_that_does_not_come_back_is_put_on_the_queue_once_it_can_be_nowhere_else(kind: StoreKind) {
    let (vhost, web) = web_on(kind, "missing").await;
    let name = web.submit(json!("lost")).await;
    let body = lose(&vhost, &name).await;
    web.record_when(&name, "retrying").await;
    web.store.execute("UPDATE requests SET missed_at = 1").await;
    counts(&web, 1).await;
    // As long as requests wait for a processor, it may be one of them.
    vhost.publish("p", "request", "another").await;
    counts(&web, 0).await;
    assert_eq!(vhost.get("p.requests").await.expect("is there").data, b"another");
    assert!(vhost.get("p.requests").await.is_none(), "it was put back while others waited");

    counts(&web, 1).await;
    assert!(vhost.get("p.requests").await.is_none(), "it was put back after one look");
    let back = eventually("it to be back", LOOKS, async || vhost.get("p.requests").await).await;
    let incoming = Incoming(&back.properties);
    assert_eq!((back.data, incoming.attempt(), incoming.replay()), (body, 2, Some(0)));
    let metrics = web.get("/metrics").await.text().await.expect("is text");
    assert!(metrics.contains("warren_web_requests_put_back_total 1"), "{metrics}");
    result(&vhost, &json!(name), json!("found")).await;
    assert_eq!(web.record_when(&name, "succeeded").await["result"], "found");
    web.end().await;
}

async fn record(store: &Store, name: &str, what: What) {
    let change = Change { id: id(name), at: Timestamp::UNIX_EPOCH, replay: Some(0), what };
    store.record(vec![change]).await.expect("is recorded");
}

fn retrying(attempt: u32, spare: Option<Spare>) -> What {
    What::Retrying { attempt, next: Timestamp::UNIX_EPOCH, error: "busy".into(), spare }
}

async fn missing(store: &Store) -> Vec<Missing> {
    store.missing(10).await.expect("can be read")
}

async fn claim(store: &Store, missing: &Missing) -> Option<Spare> {
    store.claim(missing.clone()).await.expect("can be written")
}

async fn what_was_heard_of_again_is_missed_no_more(kind: StoreKind) {
    let place = TestStore::new(kind).await;
    let store = place.open().await;
    let result = RawValue::from_string("1".into()).expect("is JSON");
    let news = [
        ("started", What::Started { attempt: 2, since: Timestamp::UNIX_EPOCH }),
        ("retrying", retrying(2, None)),
        ("ended", What::Succeeded { attempt: 2, result }),
    ];
    for (name, news) in news {
        record(&store, name, retrying(1, spare(name, b"{}", 2))).await;
        let [lost] = missing(&store).await.try_into().expect("one is missed");
        assert_eq!(lost, Missing { id: id(name), replay: 0, attempt: 1 });
        record(&store, name, news).await;
        assert_eq!((missing(&store).await, claim(&store, &lost).await), (Vec::new(), None), "{name}");
        assert_eq!(place.number("SELECT count(*) FROM requests WHERE spare IS NOT NULL").await, 0, "{name}");
    }
}

async fn a_missed_request_is_one_replicas_to_put_back_and_missed_again_later(kind: StoreKind) {
    let place = TestStore::new(kind).await;
    let store = place.open().await;
    let copy = spare("a", b"{}", 2);
    record(&store, "a", retrying(1, copy.clone())).await;
    let [lost] = missing(&store).await.try_into().expect("one is missed");
    assert_eq!((claim(&store, &lost).await, claim(&store, &lost).await), (copy.clone(), None));
    assert_eq!(missing(&store).await, []);
    let again = place.number("SELECT missed_at FROM requests").await - Timestamp::now().as_microsecond();
    assert!((570_000_000..=603_000_000).contains(&again), "after 603 s: {again}");

    // As a version leaves it that does not know of copies.
    place.execute("UPDATE requests SET attempts = 2, missed_at = 1").await;
    let [lost] = missing(&store).await.try_into().expect("one is missed");
    assert_eq!((claim(&store, &lost).await, missing(&store).await), (None, Vec::new()), "the copy is an earlier one");
}

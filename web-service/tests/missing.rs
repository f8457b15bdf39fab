//! Requests that RabbitMQ does not bring back for their next attempt.

use crate::fixture::{SOON, StoreKind, TestStore, on_each_store, result, web_on};
use jiff::Timestamp;
use lapin::BasicProperties;
use serde_json::json;
use std::time::Duration;
use warren_messaging::{
    message::{Event, Incoming, Progress, Spare},
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
    what_was_put_back_is_missed_again_later_each_time,
);

const DELAY: Duration = Duration::from_secs(1);

fn spare(body: &[u8]) -> Option<Spare> {
    Spare::of(body, &BasicProperties::default(), DELAY)
}

/// Takes the request from its queue as a processor whose attempt fails, but brings it into no retry queue. Returns its body.
async fn lose(vhost: &Vhost, id: &str) -> Vec<u8> {
    let taken = eventually("the request", SOON, async || vhost.get("p.requests").await).await;
    let event = Event {
        request_id: RequestId::from_text(id).expect("is an id"),
        attempt: 1,
        replay: Some(0),
        progress: Progress::Retrying {
            error: "busy".into(),
            next_attempt_at: Timestamp::now(),
            spare: spare(&taken.data),
        },
    };
    vhost.publish("p", "event", event.to_message().body).await;
    taken.data
}

/// Waits until it was looked so many more times.
async fn looks(store: &TestStore, times: u32) {
    for _ in 0..times {
        let lease = async || store.number("SELECT coalesce(max(ends_at), 0) FROM leases WHERE name = 'missing'").await;
        let before = lease().await;
        eventually("another look", SOON, async || lease().await > before).await;
    }
}

async fn a_request_that_does_not_come_back_is_put_on_the_queue_once_it_can_be_nowhere_else(kind: StoreKind) {
    let (vhost, web) = web_on(kind, "missing").await;
    let id = web.submit(json!("lost")).await;
    let body = lose(&vhost, &id).await;
    web.record_when(&id, "retrying").await;
    // As long as requests wait for a processor, it may be one of them.
    vhost.publish("p", "request", "another").await;
    web.store.execute("UPDATE requests SET missed_at = 1").await;
    looks(&web.store, 3).await;
    assert_eq!(vhost.get("p.requests").await.expect("is there").data, b"another");
    assert!(vhost.get("p.requests").await.is_none(), "it was put back while others waited");

    let back = eventually("it to be back", SOON * 2, async || vhost.get("p.requests").await).await;
    let incoming = Incoming(&back.properties);
    assert_eq!((back.data, incoming.attempt(), incoming.replay()), (body, 2, Some(0)));
    let metrics = web.get("/metrics").await.text().await.expect("is text");
    assert!(metrics.contains("warren_web_requests_put_back_total 1"), "{metrics}");
    result(&vhost, &json!(id), json!("found")).await;
    assert_eq!(web.record_when(&id, "succeeded").await["result"], "found");
    web.end().await;
}

async fn record(store: &Store, id: &str, what: What) {
    let (id, at) = (RequestId::from_text(id).expect("is an id"), Timestamp::UNIX_EPOCH);
    store.record(vec![Change { id, at, replay: Some(0), what }]).await.expect("is recorded");
}

fn retrying(attempt: u32, spare: Option<Spare>) -> What {
    What::Retrying { attempt, next: Timestamp::UNIX_EPOCH, error: "busy".into(), spare }
}

async fn missing(store: &Store) -> Vec<Missing> {
    store.missing(10).await.expect("can be read")
}

async fn what_was_heard_of_again_is_missed_no_more(kind: StoreKind) {
    let place = TestStore::new(kind).await;
    let store = place.open().await;
    for (name, next) in [("a", What::Started { attempt: 2, since: Timestamp::UNIX_EPOCH }), ("b", retrying(2, None))] {
        record(&store, name, retrying(1, spare(b"{}"))).await;
        let [lost] = missing(&store).await.try_into().expect("one is missed");
        assert_eq!((lost.id.to_string().as_str(), lost.attempt, lost.has_spare), (name, 1, true));
        assert_eq!(store.spare(lost.clone()).await.expect("can be read"), spare(b"{}"));
        record(&store, name, next).await;
        assert_eq!(store.spare(lost).await.expect("can be read"), None, "{name}");
        if name == "b" {
            assert!(!missing(&store).await[0].has_spare, "nobody sent one with the second attempt");
        }
        let body = json!(name).to_string().into_bytes();
        let result = serde_json::from_slice(&body).expect("is JSON");
        record(&store, name, What::Succeeded { attempt: 2, result }).await;
        assert_eq!(missing(&store).await, [], "{name}");
    }
}

async fn what_was_put_back_is_missed_again_later_each_time(kind: StoreKind) {
    let place = TestStore::new(kind).await;
    let store = place.open().await;
    record(&store, "a", retrying(1, spare(b"{}"))).await;
    for minutes in [4, 16, 64, 256, 1024, 1024] {
        place.execute("UPDATE requests SET missed_at = 1").await;
        let lost = missing(&store).await;
        assert_eq!(lost.len(), 1);
        store.note_put_back(lost).await.expect("is noted");
        assert_eq!(missing(&store).await, []);
        let in_micros = place.number("SELECT missed_at FROM requests").await - Timestamp::now().as_microsecond();
        let wanted = minutes * 60_000_000;
        assert!((wanted - 30_000_000..=wanted).contains(&in_micros), "{in_micros} of {wanted}");
    }
    record(&store, "a", retrying(2, spare(b"{}"))).await;
    place.execute("UPDATE requests SET missed_at = 1").await;
    store.note_put_back(missing(&store).await).await.expect("is noted");
    let in_micros = place.number("SELECT missed_at FROM requests").await - Timestamp::now().as_microsecond();
    assert!(in_micros <= 4 * 60_000_000, "another attempt begins anew: {in_micros}");
}

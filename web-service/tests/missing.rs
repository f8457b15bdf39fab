//! Requests that RabbitMQ does not bring back for their next attempt.

use crate::fixture::{SOON, StoreKind, TestStore, declare_on, on_each_store};
use jiff::Timestamp;
use lapin::BasicProperties;
use serde_json::value::RawValue;
use std::{sync::Arc, time::Duration};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use warren_messaging::{
    broker_url::BrokerUrl,
    message::{Incoming, Report, Spare, retry},
    publisher::{Contact, Publisher, PublisherSettings},
    request_id::RequestId,
    topology::{QueueType, Topology},
};
use warren_testkit::{
    broker::{self, Vhost},
    eventually,
};
use warren_web_service::{
    metrics::Metrics,
    missing::{Queues, Search, Times},
    record::{Change, What},
    store::{Missing, Store},
};

on_each_store!(
    a_request_that_does_not_come_back_is_put_on_the_queue_once_it_can_be_nowhere_else,
    what_was_heard_of_again_is_missed_no_more,
    a_missed_request_is_one_replicas_to_put_back_and_missed_again_later,
);

const BODY: &[u8] = br#"{"requestId":"a","requestData":1}"#;

fn id(text: &str) -> RequestId {
    RequestId::from_text(text).expect("is an id")
}

fn spare(name: &str, attempt: u32) -> Option<Spare> {
    let delay = Duration::from_secs(1);
    Spare::of(&retry(&id(name), BODY, &BasicProperties::default(), attempt, delay), delay, delay)
}

/// A search beside no web side, so that results stay where they are.
struct Searching {
    metrics: Arc<Metrics>,
    stop: CancellationToken,
    tasks: [JoinHandle<()>; 2],
}

impl Searching {
    async fn start(vhost: &Vhost, store: Store) -> Self {
        let topology = Topology::named("p");
        let broker: BrokerUrl = vhost.url().parse().expect("an address");
        let stop = CancellationToken::new();
        let settings = PublisherSettings {
            broker: broker.clone().into(),
            name: "test requests".into(),
            needs: topology.plan(),
            confirm_timeout: SOON,
            contact: Contact::default(),
        };
        let (publisher, publishing) = Publisher::start(settings, || Report::of_web("test", 0), stop.clone());
        eventually("the publisher to be ready", SOON, async || publisher.state().is_ready()).await;
        let names = [topology.requests(), topology.results()];
        let connection = "test missing requests".into();
        let queues = Queues { broker: broker.into(), connection, names, queue_type: QueueType::Quorum };
        let times = Times { look: Duration::from_millis(200), quiet: Duration::from_secs(2) };
        let metrics = Arc::new(Metrics::default());
        let search = Search { store, publisher, metrics: metrics.clone(), queues, times };
        let searching = tokio::spawn(search.run(stop.clone()));
        Self { metrics, stop, tasks: [searching, publishing] }
    }

    /// Waits until a look has found so many that can be in no queue.
    async fn watches(&self, wanted: i64) {
        eventually("the missing", SOON, async || {
            let watched = self.metrics.missing.get();
            if watched == wanted { Ok(()) } else { Err(watched) }
        })
        .await;
    }

    async fn end(self) {
        self.stop.cancel();
        for task in self.tasks {
            task.await.expect("does not panic");
        }
    }
}

async fn a_request_that_does_not_come_back_is_put_on_the_queue_once_it_can_be_nowhere_else(kind: StoreKind) {
    let vhost = broker::vhost("missing").await;
    declare_on(&vhost.url(), &Topology::named("p")).await;
    let place = TestStore::new(kind).await;
    let store = place.open().await;
    record(&store, "a", retrying(1, spare("a", 2))).await;
    // It may be one of those that wait for a processor, or what waits to be recorded may be about it.
    for (key, queue) in [("request", "p.requests"), ("result", "p.results")] {
        vhost.publish("p", key, "another").await;
        let searching = Searching::start(&vhost, store.clone()).await;
        // A dozen looks: that nothing comes of them has no other end to wait for.
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(searching.metrics.missing.get(), 0, "{queue}");
        assert_eq!(place.number("SELECT put_back FROM requests").await, 0, "{queue}");
        assert_eq!(vhost.get(queue).await.expect("is there").data, b"another");
        assert!(vhost.get(queue).await.is_none(), "it was put back while {queue} had something");
        searching.end().await;
    }

    let searching = Searching::start(&vhost, store.clone()).await;
    searching.watches(1).await;
    assert!(vhost.get("p.requests").await.is_none(), "it was put back at once");
    let back = eventually("it to be back", SOON, async || vhost.get("p.requests").await).await;
    let incoming = Incoming(&back.properties);
    assert_eq!((back.data.as_slice(), incoming.attempt(), incoming.replay()), (BODY, 2, Some(0)));
    searching.watches(0).await;
    assert_eq!(searching.metrics.put_back.get(), 1);
    searching.end().await;
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
        record(&store, name, retrying(1, spare(name, 2))).await;
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
    let copy = spare("a", 2);
    record(&store, "a", retrying(1, copy.clone())).await;
    let [lost] = missing(&store).await.try_into().expect("one is missed");
    assert_eq!((claim(&store, &lost).await, claim(&store, &lost).await), (copy.clone(), None));
    assert_eq!(missing(&store).await, []);
    let again = place.number("SELECT missed_at FROM requests").await - Timestamp::now().as_microsecond();
    assert!((570_000_000..=600_000_000).contains(&again), "after ten minutes: {again}");

    // As a version leaves it that does not know of copies.
    place.execute("UPDATE requests SET attempts = 2, missed_at = 1").await;
    let [lost] = missing(&store).await.try_into().expect("one is missed");
    assert_eq!((claim(&store, &lost).await, missing(&store).await), (None, Vec::new()), "the copy is an earlier one");
}

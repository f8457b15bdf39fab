//! Replays of the journal.

use crate::{
    fixture::{SOON, StoreKind, TestStore, Web, declare_on, kind, on_each_store, problem, result, web},
    replays::{Handled, Side, counts, job_when},
};
use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use lapin::BasicProperties;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use warren_messaging::{
    message::Incoming,
    topology::{Journal, Topology},
};
use warren_testkit::{
    broker::{self, Vhost},
    eventually,
    proxy::Proxy,
};

on_each_store!(
    what_ended_is_replayed_once_and_what_was_refused_or_is_in_work_is_not,
    what_is_older_than_its_record_may_be_is_replayed_only_if_that_is_asked_for,
    what_does_not_tell_its_time_is_forgotten_only_if_the_one_before_it_may_be,
    a_replay_of_the_journal_that_is_killed_half_way_loses_nothing,
);

fn kept() -> Topology {
    let journal = Journal { retention: Duration::from_secs(86_400), max_bytes: 64 << 20 };
    Topology { journal: Some(journal), ..Topology::named("p") }
}

async fn keeping_web(kind: StoreKind, label: &str) -> (Vhost, Web) {
    let vhost = broker::vhost(label).await;
    declare_on(&vhost.url(), &kept()).await;
    let web = Web::start_in(TestStore::new(kind).await, &vhost.url(), &[]).await;
    web.ready().await;
    (vhost, web)
}

fn hours_ago(hours: i64) -> Timestamp {
    Timestamp::now() - SignedDuration::from_hours(hours)
}

/// A request that did not come through this web side.
async fn foreign(vhost: &Vhost, id: &str, hours: i64) {
    let second = u64::try_from(hours_ago(hours).as_second()).expect("is after 1970");
    let properties = BasicProperties::default().with_delivery_mode(2).with_timestamp(second);
    vhost.publish_with("p", "request", json!({"requestId": id, "requestData": 1}).to_string(), properties).await;
}

async fn ask(http: &Client, base: &str, wanted: Value) -> reqwest::Response {
    let request = http.post(format!("{base}/api/v1/journal/replay")).header("content-type", "application/json");
    request.body(wanted.to_string()).send().await.expect("is answered")
}

async fn replay(http: &Client, base: &str, wanted: Value) -> String {
    let answer = ask(http, base, wanted).await;
    assert_eq!(answer.status(), StatusCode::ACCEPTED, "{:?}", answer.text().await);
    answer.headers()["location"].to_str().expect("is text").to_owned()
}

/// All that a queue holds: how often each request is in it, as which replay.
async fn drain(vhost: &Vhost, queue: &str) -> BTreeMap<(String, u32), u32> {
    let mut found = BTreeMap::new();
    while let Some(message) = vhost.get(queue).await {
        let body: Value = serde_json::from_slice(&message.data).expect("is JSON");
        let id = body["requestId"].as_str().expect("is text").to_owned();
        let replay = Incoming(&message.properties).replay().unwrap_or(0);
        *found.entry((id, replay)).or_default() += 1;
    }
    found
}

async fn what_ended_is_replayed_once_and_what_was_refused_or_is_in_work_is_not(kind: StoreKind) {
    let (vhost, web) = keeping_web(kind, "journal").await;
    let since = hours_ago(1).to_string();
    let mut ids = Vec::new();
    for number in 0..3 {
        ids.push(web.submit(json!(number)).await);
    }
    foreign(&vhost, "refused", 0).await;
    let again = vhost.get("p.requests").await.expect("is there");
    vhost.publish_with("p", "request", again.data, again.properties).await;
    drain(&vhost, "p.requests").await;
    for id in &ids[..2] {
        result(&vhost, &json!(id), json!("first")).await;
        web.record_when(id, "succeeded").await;
    }

    let job = job_when(&web, &replay(&web.http, &web.base, json!({"since": since})).await, "done").await;
    assert_eq!(counts(&job), [4, 2, 2, 0], "{job}");
    assert_eq!(job["skippedBecause"], json!({"neverAccepted": 1, "inFlight": 1, "forgotten": 0}));
    assert_eq!((&job["source"], &job["filter"]["since"]), (&json!("journal"), &json!(since)));
    let replayed = |replay| BTreeMap::from([((ids[0].clone(), replay), 1), ((ids[1].clone(), replay), 1)]);
    assert_eq!(drain(&vhost, "p.requests").await, replayed(1));
    let record = web.record(&ids[0]).await;
    assert_eq!((&record["status"], &record["replays"]), (&json!("queued"), &json!(1)), "{record}");

    for id in &ids[..2] {
        result(&vhost, &json!(id), json!("second")).await;
        assert_eq!(web.record_when(id, "succeeded").await["result"], "second");
    }
    let job = job_when(&web, &replay(&web.http, &web.base, json!({"since": since})).await, "done").await;
    assert_eq!(counts(&job), [4, 2, 2, 0], "what a replay put there counts not again: {job}");
    assert_eq!(drain(&vhost, "p.requests").await, replayed(2));
}

async fn what_is_older_than_its_record_may_be_is_replayed_only_if_that_is_asked_for(kind: StoreKind) {
    let (vhost, web) = keeping_web(kind, "forgotten").await;
    foreign(&vhost, "old", 48).await;
    drain(&vhost, "p.requests").await;
    let mut wanted = json!({"since": hours_ago(72).to_string(), "until": hours_ago(47).to_string()});
    let job = job_when(&web, &replay(&web.http, &web.base, wanted.clone()).await, "done").await;
    assert_eq!(counts(&job), [1, 0, 1, 0], "{job}");
    assert_eq!(job["skippedBecause"], json!({"neverAccepted": 0, "inFlight": 0, "forgotten": 1}));
    assert!(drain(&vhost, "p.requests").await.is_empty());

    wanted["includeForgotten"] = json!(true);
    let job = job_when(&web, &replay(&web.http, &web.base, wanted).await, "done").await;
    assert_eq!((counts(&job), &job["skippedBecause"]["forgotten"]), ([1, 1, 0, 0], &json!(1)), "{job}");
    assert_eq!(drain(&vhost, "p.requests").await, BTreeMap::from([(("old".to_owned(), 1), 1)]));
    result(&vhost, &json!("old"), json!("done")).await;
    assert_eq!(web.record_when("old", "succeeded").await["replays"], 1);
}

async fn what_does_not_tell_its_time_is_forgotten_only_if_the_one_before_it_may_be(kind: StoreKind) {
    let (vhost, web) = keeping_web(kind, "untold").await;
    let untold = async |id: &str| {
        vhost.publish("p", "request", json!({"requestId": id, "requestData": 1}).to_string()).await;
    };
    foreign(&vhost, "old", 48).await;
    untold("old, too").await;
    web.submit(json!("x")).await;
    untold("in work").await;
    let wanted = json!({"since": hours_ago(72).to_string(), "includeForgotten": true});
    let job = job_when(&web, &replay(&web.http, &web.base, wanted).await, "done").await;
    assert_eq!(counts(&job), [4, 2, 2, 0], "{job}");
    assert_eq!(job["skippedBecause"], json!({"neverAccepted": 1, "inFlight": 1, "forgotten": 2}));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_pipeline_gets_every_request_of_the_range_as_if_it_were_new_and_no_record_changes() {
    let (vhost, web) = keeping_web(StoreKind::Sqlite, "elsewhere").await;
    declare_on(&vhost.url(), &Topology::named("q")).await;
    let id = web.submit(json!({"n": 1.50})).await;
    foreign(&vhost, "refused", 0).await;
    let wanted = json!({"since": hours_ago(1).to_string(), "into": {"exchange": "q"}});
    let job = job_when(&web, &replay(&web.http, &web.base, wanted).await, "done").await;
    assert_eq!(counts(&job), [2, 2, 0, 0], "{job}");
    let found = drain(&vhost, "q.requests").await;
    assert_eq!(found, BTreeMap::from([((id.clone(), 0), 1), (("refused".to_owned(), 0), 1)]));
    assert_eq!(drain(&vhost, "p.requests").await, found, "nothing came there");
    let record = web.record(&id).await;
    assert_eq!((&record["status"], &record["replays"]), (&json!("queued"), &Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_without_a_journal_or_into_nowhere_is_refused() {
    let (_vhost, without) = web("without").await;
    let since = hours_ago(1).to_string();
    let refused = ask(&without.http, &without.base, json!({"since": since})).await;
    assert_eq!(refused.status(), StatusCode::CONFLICT);
    let refusal = problem(refused).await;
    assert_eq!(kind(&refusal), "no-journal");
    assert!(refusal["detail"].as_str().is_some_and(|detail| detail.contains("spec.topology.journal")), "{refusal}");

    let (_vhost, web) = keeping_web(StoreKind::Sqlite, "nowhere").await;
    let refused = ask(&web.http, &web.base, json!({"since": since, "into": {"exchange": "nowhere"}})).await;
    assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let refusal = problem(refused).await;
    assert_eq!(kind(&refusal), "no-such-exchange");
    assert!(refusal["detail"].as_str().is_some_and(|detail| detail.contains("nowhere")), "{refusal}");
    let refused = ask(&web.http, &web.base, json!({})).await;
    assert_eq!(kind(&problem(refused).await), "invalid-replay");
}

#[tokio::test(flavor = "multi_thread")]
async fn few_are_looked_at_at_a_time_before_there_is_a_job() {
    let (_vhost, web) = keeping_web(StoreKind::Sqlite, "looks").await;
    let wanted = json!({"since": hours_ago(1).to_string(), "into": {"exchange": "nowhere"}});
    let answers = join_all((0..30).map(|_| ask(&web.http, &web.base, wanted.clone()))).await;
    let mut kinds = Vec::new();
    for answer in answers {
        assert_eq!(answer.headers().contains_key("retry-after"), answer.status() == StatusCode::SERVICE_UNAVAILABLE);
        kinds.push(kind(&problem(answer).await).to_owned());
    }
    let count = |word| kinds.iter().filter(|kind| *kind == word).count();
    assert!(count("no-such-exchange") >= 2 && count("overloaded") > 0, "{kinds:?}");
    assert_eq!(count("no-such-exchange") + count("overloaded"), 30, "{kinds:?}");
}

async fn a_replay_of_the_journal_that_is_killed_half_way_loses_nothing(kind: StoreKind) {
    const REQUESTS: usize = 200;
    let (vhost, store) = (broker::vhost("killed").await, TestStore::new(kind).await);
    declare_on(&vhost.url(), &kept()).await;
    for number in 0..REQUESTS {
        foreign(&vhost, &format!("r{number}"), 48).await;
    }
    drain(&vhost, "p.requests").await;
    let mut side = Side::start(&store, &vhost);
    side.ready().await;
    let handled = Handled::start(&vhost).await;
    let wanted = json!({"since": hours_ago(72).to_string(), "includeForgotten": true, "rate": 100});
    let location = replay(&side.http, &side.base, wanted).await;
    eventually("a third of them", SOON, async || handled.ids() > REQUESTS / 3).await;
    side.program.kill9();
    let before = handled.ids();
    assert!(before < REQUESTS, "it was killed half-way");
    let side = Side::start(&store, &vhost);
    side.all_replayed(&location, REQUESTS).await;
    eventually("each to be worked on", SOON, async || handled.ids() == REQUESTS).await;
    let twice = handled.twice(REQUESTS);
    eprintln!("killed after {before} of {REQUESTS}; {twice} were worked on twice");
    assert!(twice <= 32, "{twice} were worked on twice");
}

/// Passing over what is not in the range takes longer than the lease of a job lasts.
#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_do_not_take_a_long_way_through_the_journal_from_each_other() {
    let (vhost, store) = (broker::vhost("long-way").await, TestStore::new(StoreKind::Postgres).await);
    declare_on(&vhost.url(), &kept()).await;
    for batch in 0..10 {
        let names = (0..600).map(|number| format!("r{batch}-{number}"));
        join_all(names.map(|name| async { foreign(&vhost, &{ name }, 48).await })).await;
    }
    let broker: warren_messaging::broker::Broker = vhost.url().parse().expect("is an address");
    let line = Proxy::start(broker.url.host_and_port());
    let sides = [0; 2].map(|_| Side::start_at(&store, &line.url(&vhost.url())));
    for side in &sides {
        side.ready().await;
    }
    line.delay(Duration::from_millis(100));
    let begun = Instant::now();
    let location = replay(&sides[0].http, &sides[0].base, json!({"since": Timestamp::now().to_string()})).await;
    let job = sides[0].done(&location).await;
    eprintln!("took {:?}", begun.elapsed());
    assert!(begun.elapsed() > Duration::from_secs(20), "it was longer than a lease, which is what this is about");
    assert_eq!(counts(&job), [0, 0, 0, 0], "{job}");
}

//! Dead letters that are put back on the queue.

use crate::fixture::{SOON, StoreKind, TestStore, Web, declare_on, on_each_store, result, web_on};
use futures::StreamExt as _;
use lapin::{
    BasicProperties, Connection,
    options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions},
    types::{AMQPValue, FieldTable},
};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    process::Command,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::task::JoinHandle;
use warren_messaging::{
    message::{FailureReason, Incoming, failure},
    request_id::RequestId,
    topology::Topology,
};
use warren_testkit::{
    broker::{self, Vhost},
    eventually, free_port,
    program::Program,
};

on_each_store!(
    dead_letters_are_listed_newest_first_by_reason_and_time,
    a_replayed_request_keeps_its_id_and_history_and_its_copy_leaves_the_dead_letters,
    a_request_that_fails_again_can_be_replayed_again,
    a_foreign_processors_answer_without_the_header_ends_the_replay,
    what_is_not_failed_or_not_known_is_counted_and_left_alone,
    a_job_waits_for_room_in_the_queue_and_goes_on,
    a_cancelled_job_begins_nothing_more,
    a_replay_that_is_killed_half_way_neither_loses_nor_doubles,
);

/// Fails a request, as a processor would.
async fn fail(vhost: &Vhost, id: &str, replay: u32, reason: FailureReason) {
    let mut headers = FieldTable::default();
    headers.insert("x-replay".into(), AMQPValue::LongLongInt(replay.into()));
    headers.insert("traceparent".into(), AMQPValue::LongString("00-1-2-03".into()));
    let came_with = BasicProperties::default().with_headers(headers);
    let request_id = RequestId::from_text(id).expect("is an id");
    let body = json!({"requestId": id, "requestData": {"n": 1}}).to_string();
    let dead = failure(Some(&request_id), body.as_bytes(), &came_with, 5, reason, &format!("no luck in {replay}"));
    vhost.publish_with("p", "dead", &dead.body, dead.properties.clone()).await;
}

async fn failed(web: &Web, vhost: &Vhost, id: &str) {
    fail(vhost, id, 0, FailureReason::AttemptsExhausted).await;
    web.record_when(id, "failed").await;
}

/// Asks for a replay; returns the job's address.
async fn replay(http: &Client, base: &str, wanted: Value) -> String {
    let request = http.post(format!("{base}/api/v1/dead-letters/replay")).header("content-type", "application/json");
    let answer = request.body(wanted.to_string()).send().await.expect("is answered");
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    let location = answer.headers()["location"].to_str().expect("is text").to_owned();
    let job: Value = answer.json().await.expect("is JSON");
    assert_eq!(location, format!("/api/v1/replays/{}", job["jobId"].as_str().expect("is text")));
    location
}

/// The job once its status is this.
pub async fn job_when(web: &Web, location: &str, status: &str) -> Value {
    eventually(&format!("the job to be {status}"), SOON, async || {
        let job = web.get_json(location).await;
        if job["status"] == status { Ok(job) } else { Err(job.to_string()) }
    })
    .await
}

pub fn counts(job: &Value) -> [u64; 4] {
    ["total", "replayed", "skipped", "failed"].map(|count| job[count].as_u64().expect("is a number"))
}

async fn dead_letters(web: &Web, query: &str) -> Vec<String> {
    let page = web.get_json(&format!("/api/v1/dead-letters{query}")).await;
    let letters = page["deadLetters"].as_array().expect("is a list").clone();
    letters.iter().map(|letter| letter["requestId"].as_str().expect("is text").to_owned()).collect()
}

async fn dead_letters_are_listed_newest_first_by_reason_and_time(kind: StoreKind) {
    let (vhost, web) = web_on(kind, "letters").await;
    for (id, reason) in [("a", FailureReason::Rejected), ("b", FailureReason::Expired), ("c", FailureReason::Rejected)]
    {
        fail(&vhost, id, 0, reason).await;
        web.record_when(id, "failed").await;
    }
    result(&vhost, &json!("fine"), json!(1)).await;
    web.record_when("fine", "succeeded").await;
    assert_eq!(dead_letters(&web, "").await, ["c", "b", "a"]);
    assert_eq!(dead_letters(&web, "?reason=rejected").await, ["c", "a"]);
    let first = web.get_json("/api/v1/dead-letters?limit=2").await;
    let cursor = first["nextCursor"].as_str().expect("there is more");
    assert_eq!(dead_letters(&web, &format!("?limit=2&cursor={cursor}")).await, ["a"]);
    let failed_at = first["deadLetters"][1]["failedAt"].as_str().expect("is text");
    assert_eq!(dead_letters(&web, &format!("?until={failed_at}")).await, ["a"]);
    assert_eq!(dead_letters(&web, &format!("?since={failed_at}")).await, ["c", "b"]);
    let letter = &first["deadLetters"][1];
    assert_eq!(
        (&letter["reason"], &letter["message"], &letter["attempts"], &letter["replays"]),
        (&json!("expired"), &json!("no luck in 0"), &json!(5), &json!(0))
    );
}

async fn a_replayed_request_keeps_its_id_and_history_and_its_copy_leaves_the_dead_letters(kind: StoreKind) {
    let (vhost, web) = web_on(kind, "replayed").await;
    let id = web.submit(json!("x")).await;
    vhost.get("p.requests").await.expect("is on the queue");
    failed(&web, &vhost, "other").await;
    failed(&web, &vhost, &id).await;
    let location = replay(&web.http, &web.base, json!({"requestIds": [id]})).await;
    let job = job_when(&web, &location, "done").await;
    assert_eq!(counts(&job), [1, 1, 0, 0], "{job}");
    assert!(job["finishedAt"].is_string() && job.get("waitingFor").is_none(), "{job}");

    let queued = vhost.get("p.requests").await.expect("is on the queue");
    assert_eq!(queued.data, json!({"requestId": id, "requestData": {"n": 1}}).to_string().into_bytes());
    let incoming = Incoming(&queued.properties);
    assert_eq!((incoming.attempt(), incoming.replay(), incoming.text("x-reason")), (1, Some(1), None));
    assert_eq!(incoming.text("traceparent"), Some("00-1-2-03"));
    assert_eq!(queued.properties.message_id().as_ref().map(|id| id.as_str()), Some(id.as_str()));

    let record = web.record(&id).await;
    assert_eq!((&record["status"], &record["replays"], &record["attempts"]), (&json!("queued"), &json!(1), &json!(0)));
    assert_eq!(record["history"][0]["reason"], "attempts_exhausted", "{record}");
    assert_eq!(dead_letters(&web, "").await, ["other"]);

    // A late duplicate of the failure is not the replay's.
    fail(&vhost, &id, 0, FailureReason::AttemptsExhausted).await;
    result(&vhost, &json!("marker"), json!(0)).await;
    web.record_when("marker", "succeeded").await;
    assert_eq!(web.record(&id).await["status"], "queued");
    let mut headers = FieldTable::default();
    headers.insert("x-replay".into(), AMQPValue::LongLongInt(1));
    let answer = json!({"requestId": id, "processingResults": 7}).to_string();
    vhost.publish_with("p", "result", answer, BasicProperties::default().with_headers(headers)).await;
    let record = web.record_when(&id, "succeeded").await;
    assert_eq!((&record["replays"], &record["result"]), (&json!(1), &json!(7)));
    assert_eq!(record["history"].as_array().map(Vec::len), Some(1), "{record}");

    vhost
        .queue_when("p.dead", "the replayed one's copies to be gone", SOON, |queue| {
            queue.ready == 1 && queue.messages == 1
        })
        .await;
    let left = vhost.get("p.dead").await.expect("is left");
    assert!(String::from_utf8_lossy(&left.data).contains("other"));
}

async fn a_request_that_fails_again_can_be_replayed_again(kind: StoreKind) {
    let (vhost, web) = web_on(kind, "again").await;
    failed(&web, &vhost, "a").await;
    for number in 1..=2 {
        let location = replay(&web.http, &web.base, json!({"filter": {"reason": "attempts_exhausted"}})).await;
        assert_eq!(counts(&job_when(&web, &location, "done").await), [1, 1, 0, 0]);
        let queued = vhost.get("p.requests").await.expect("is on the queue");
        assert_eq!(Incoming(&queued.properties).replay(), Some(number));
        fail(&vhost, "a", number, FailureReason::AttemptsExhausted).await;
        let record = web.record_when("a", "failed").await;
        assert_eq!(
            (&record["replays"], &record["error"]["message"]),
            (&json!(number), &json!(format!("no luck in {number}")))
        );
        assert_eq!(record["history"].as_array().map(Vec::len), Some(number as usize), "{record}");
    }
    assert_eq!(dead_letters(&web, "").await, ["a"], "once, as it is now");
    let listed = web.get_json("/api/v1/replays").await;
    assert_eq!(listed["replays"].as_array().map(Vec::len), Some(2), "{listed}");
}

async fn a_foreign_processors_answer_without_the_header_ends_the_replay(kind: StoreKind) {
    let (vhost, web) = web_on(kind, "foreign").await;
    failed(&web, &vhost, "a").await;
    let location = replay(&web.http, &web.base, json!({"requestIds": ["a"]})).await;
    job_when(&web, &location, "done").await;
    result(&vhost, &json!("a"), json!("done")).await;
    let record = web.record_when("a", "succeeded").await;
    assert_eq!((&record["replays"], &record["result"]), (&json!(1), &json!("done")));
}

async fn what_is_not_failed_or_not_known_is_counted_and_left_alone(kind: StoreKind) {
    let (vhost, web) = web_on(kind, "counted").await;
    failed(&web, &vhost, "a").await;
    result(&vhost, &json!("fine"), json!(1)).await;
    web.record_when("fine", "succeeded").await;
    let location = replay(&web.http, &web.base, json!({"requestIds": ["a", "fine", "unknown", "a"]})).await;
    assert_eq!(counts(&job_when(&web, &location, "done").await), [3, 1, 1, 1]);
    let location = replay(&web.http, &web.base, json!({"requestIds": ["a"]})).await;
    assert_eq!(counts(&job_when(&web, &location, "done").await), [1, 0, 1, 0], "it is replayed already");
    let location = replay(&web.http, &web.base, json!({"filter": {}})).await;
    assert_eq!(counts(&job_when(&web, &location, "done").await), [0, 0, 0, 0]);
    vhost.queue_when("p.requests", "one request", SOON, |queue| queue.messages == 1).await;
}

async fn a_job_waits_for_room_in_the_queue_and_goes_on(kind: StoreKind) {
    let vhost = broker::vhost("room").await;
    declare_on(&vhost.url(), &Topology { max_length: Some(5), ..Topology::named("p") }).await;
    let web = Web::start_in(TestStore::new(kind).await, &vhost.url(), &[]).await;
    web.ready().await;
    for number in 0..60 {
        fail(&vhost, &format!("r{number}"), 0, FailureReason::Rejected).await;
    }
    eventually("all to be listed", SOON, async || dead_letters(&web, "?limit=100").await.len() == 60).await;
    let location = replay(&web.http, &web.base, json!({"filter": {}, "rate": 1000})).await;
    let waiting = eventually("the job to wait", SOON, async || {
        let job = web.get_json(&location).await;
        if job["waitingFor"].as_str().is_some_and(|text| text.contains("room")) {
            Ok(job)
        } else {
            Err(job.to_string())
        }
    })
    .await;
    assert_eq!(waiting["status"], "running");
    let handled = Handled::start(&vhost).await;
    let job = job_when(&web, &location, "done").await;
    assert_eq!(counts(&job), [60, 60, 0, 0]);
    eventually("all to be handled", SOON, async || handled.ids() == 60).await;
}

async fn a_cancelled_job_begins_nothing_more(kind: StoreKind) {
    let (vhost, web) = web_on(kind, "cancelled").await;
    for number in 0..20 {
        fail(&vhost, &format!("r{number}"), 0, FailureReason::Rejected).await;
    }
    eventually("all to be listed", SOON, async || dead_letters(&web, "").await.len() == 20).await;
    let location = replay(&web.http, &web.base, json!({"filter": {}, "rate": 2})).await;
    eventually("some to be replayed", SOON, async || counts(&web.get_json(&location).await)[1] > 0).await;
    let cancel = web.http.request(Method::DELETE, format!("{}{location}", web.base)).send().await.expect("is answered");
    assert_eq!(cancel.status(), StatusCode::OK);
    let [total, replayed, skipped, failed] = counts(&job_when(&web, &location, "cancelled").await);
    assert!(total == 20 && replayed < 10 && skipped + failed == 0, "{total} {replayed} {skipped} {failed}");
    let left = usize::try_from(total - replayed).expect("is small");
    assert_eq!(dead_letters(&web, "").await.len(), left, "the others are dead letters still");
    vhost.queue_when("p.requests", "only the replayed ones", SOON, |queue| queue.messages == replayed).await;
}

/// A processor that counts how often it gets each request.
pub struct Handled {
    counts: Arc<Mutex<HashMap<String, u32>>>,
    working: JoinHandle<()>,
    _connection: Connection,
}

impl Handled {
    pub async fn start(vhost: &Vhost) -> Self {
        let connection = vhost.connect().await;
        let channel = connection.create_channel().await.expect("opens");
        channel.basic_qos(1, BasicQosOptions::default()).await.expect("is set");
        let consume = channel.basic_consume(
            "p.requests".into(),
            "".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        );
        let (mut consumer, counts) = (consume.await.expect("consumes"), Arc::<Mutex<HashMap<String, u32>>>::default());
        let counted = counts.clone();
        let working = tokio::spawn(async move {
            while let Some(Ok(delivery)) = consumer.next().await {
                let body: Value = serde_json::from_slice(&delivery.data).expect("is JSON");
                let id = body["requestId"].as_str().expect("is text").to_owned();
                let answer = json!({"requestId": id, "processingResults": "done"}).to_string();
                *counted.lock().expect("is not poisoned").entry(id).or_default() += 1;
                let replay = Incoming(&delivery.properties).replay().expect("says which replay it is");
                let mut headers = FieldTable::default();
                headers.insert("x-replay".into(), AMQPValue::LongLongInt(replay.into()));
                let properties = BasicProperties::default().with_headers(headers).with_delivery_mode(2);
                let sent = channel.basic_publish(
                    "p".into(),
                    "result".into(),
                    Default::default(),
                    answer.as_bytes(),
                    properties,
                );
                sent.await.expect("is sent");
                delivery.ack(BasicAckOptions::default()).await.expect("is acked");
            }
        });
        Self { counts, working, _connection: connection }
    }

    pub fn ids(&self) -> usize {
        self.counts.lock().expect("is not poisoned").len()
    }

    pub fn times(&self) -> u32 {
        self.counts.lock().expect("is not poisoned").values().sum()
    }
}

impl Drop for Handled {
    fn drop(&mut self) {
        self.working.abort();
    }
}

pub fn start(store: &TestStore, vhost: &Vhost, port: u16) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_warren-web-service"));
    command.args(["--amqp-url", &vhost.url(), "--exchange", "p", "--listen", &format!("127.0.0.1:{port}")]);
    command.args(store.arguments());
    Program::start(command)
}

async fn a_replay_that_is_killed_half_way_neither_loses_nor_doubles(kind: StoreKind) {
    const LETTERS: usize = 200;
    /// The lease of the killed one has to end first.
    const PATIENCE: Duration = Duration::from_secs(60);
    let (vhost, store, port) = (broker::vhost("killed").await, TestStore::new(kind).await, free_port());
    declare_on(&vhost.url(), &Topology::named("p")).await;
    let mut program = start(&store, &vhost, port);
    let (http, base) = (Client::new(), format!("http://127.0.0.1:{port}"));
    let get = async |path: &str| -> Result<Value, String> {
        let answer = http.get(format!("{base}{path}")).send().await.map_err(|error| error.to_string())?;
        answer.json().await.map_err(|error| error.to_string())
    };
    for number in 0..LETTERS {
        fail(&vhost, &format!("r{number}"), 0, FailureReason::AttemptsExhausted).await;
    }
    eventually("all to be listed", SOON, async || {
        let page = get("/api/v1/dead-letters?limit=1000").await?;
        if page["deadLetters"].as_array().map(Vec::len) == Some(LETTERS) { Ok(()) } else { Err(page.to_string()) }
    })
    .await;
    let handled = Handled::start(&vhost).await;
    let location = replay(&http, &base, json!({"filter": {}, "rate": 320})).await;
    eventually("half of them", SOON, async || handled.ids() > LETTERS / 3).await;
    program.kill9();
    let before = handled.ids();
    assert!(before < LETTERS, "it was killed half-way");
    let _program = start(&store, &vhost, port);
    let job = eventually("the job to be done", PATIENCE, async || {
        let job = get(&location).await?;
        if job["status"] == "done" { Ok(job) } else { Err(job.to_string()) }
    })
    .await;
    assert_eq!(counts(&job), [LETTERS as u64, LETTERS as u64, 0, 0], "{job}");
    eventually("each to end", SOON, async || {
        let page = get("/api/v1/requests?status=succeeded&limit=1000").await?;
        let records = page["requests"].as_array().cloned().unwrap_or_default();
        let once = records.iter().filter(|record| record["replays"] == 1).count();
        if once == LETTERS { Ok(()) } else { Err(format!("{once} of {}", records.len())) }
    })
    .await;
    assert_eq!(handled.ids(), LETTERS, "none is lost");
    let twice = handled.times() as usize - LETTERS;
    eprintln!("killed after {before} of {LETTERS}; {twice} were worked on twice");
    assert!(twice <= 32, "{twice} were worked on twice");
    vhost.queue_when("p.dead", "all copies to be gone", SOON, |queue| queue.messages == 0).await;
}

//! A file that is full, locked, copied, or whose process is killed; and what is forgotten while others submit.

use crate::fixture::{SOON, StoreKind, TestStore, Web, declare_on, kind, on_each_store, problem, result, web};
use jiff::{Span, Timestamp};
use reqwest::StatusCode;
use serde_json::{Value, json};
use sqlx::{Connection as _, SqliteConnection};
use std::{
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;
use warren_messaging::{request_id::RequestId, topology::Topology};
use warren_testkit::{
    broker::{self, Vhost},
    eventually, free_port,
    program::Program,
};
use warren_web_service::record::{Change, What};

const PROGRAM: &str = env!("CARGO_BIN_EXE_warren-web-service");

/// The shipped program on a file.
struct Shipped {
    program: Program,
    base: String,
    http: reqwest::Client,
}

impl Shipped {
    async fn start(vhost: &Vhost, file: &Path) -> Self {
        let listen = format!("127.0.0.1:{}", free_port());
        let mut command = Command::new(PROGRAM);
        command.args(["--exchange", "p", "--listen", &listen, "--amqp-url", &vhost.url(), "--sqlite-path"]).arg(file);
        let program = Program::start(command);
        let shipped = Self { program, base: format!("http://{listen}"), http: reqwest::Client::new() };
        eventually("the web side to be ready", SOON, async || {
            let answer = shipped.http.get(format!("{}/readyz", shipped.base)).send().await;
            answer.map_err(|error| error.to_string())?.error_for_status().map(drop).map_err(|error| error.to_string())
        })
        .await;
        shipped
    }

    async fn submit(&self) -> reqwest::Result<reqwest::Response> {
        let request = self.http.post(format!("{}/api/v1/processData", self.base));
        request.header("content-type", "application/json").body(r#"{"data":1}"#).send().await
    }

    async fn status(&self, id: &str) -> Value {
        let answer = self.http.get(format!("{}/api/v1/requests/{id}", self.base)).send().await.expect("is answered");
        answer.json::<Value>().await.expect("is JSON")["status"].take()
    }

    async fn refused(&self, word: &str) {
        eventually(&format!("{word} at a submit"), SOON, async || {
            let answer = self.submit().await.expect("is answered");
            if answer.status() != StatusCode::SERVICE_UNAVAILABLE {
                return Err(answer.status().to_string());
            }
            let problem = problem(answer).await;
            if kind(&problem) == word { Ok(()) } else { Err(problem.to_string()) }
        })
        .await;
    }

    async fn accepts(&self) {
        eventually("a submit", SOON, async || self.submit().await.is_ok_and(|it| it.status() == StatusCode::ACCEPTED))
            .await;
    }

    /// The most memory it has had so far, in MiB.
    fn peak(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.program.pid())).expect("it runs");
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("Linux tells");
        line.split_whitespace().nth(1).and_then(|kilobytes| kilobytes.parse::<u64>().ok()).expect("a number") / 1024
    }
}

async fn topology(label: &str) -> Vhost {
    let vhost = broker::vhost(label).await;
    declare_on(&vhost.url(), &Topology::named("p")).await;
    vhost
}

/// A file system of a few megabytes, gone when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// `None` where mounting is not allowed, which CI never is.
    fn mount() -> Option<Self> {
        let place = tempfile::tempdir().expect("a directory");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"]).arg(place.path()).output();
        if mounted.as_ref().is_ok_and(|mounted| mounted.status.success()) {
            return Some(Self(place));
        }
        assert!(std::env::var_os("CI").is_none(), "no disk to fill, and CI leaves nothing out: {mounted:?}");
        eprintln!("left out: a small disk can only be mounted as root");
        None
    }

    /// Writes until nothing more fits.
    fn fill(&self) {
        let full = std::fs::write(self.0.path().join("ballast"), vec![1; 8 << 20]);
        assert_eq!(full.expect_err("the disk is small").kind(), std::io::ErrorKind::StorageFull);
    }

    fn empty(&self) {
        std::fs::remove_file(self.0.path().join("ballast")).expect("is removed");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["--lazy"]).arg(self.0.path()).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_without_room_gives_no_202_holds_results_and_heals_when_there_is_room() {
    let Some(disk) = SmallDisk::mount() else { return };
    let vhost = topology("no-room").await;
    let web = Shipped::start(&vhost, &disk.0.path().join("requests.db")).await;
    web.accepts().await;
    disk.fill();
    web.refused("store-unavailable").await;
    vhost.publish("p", "result", json!({"requestId": "late", "processingResults": 1}).to_string()).await;
    vhost.queue_when("p.results", "the result to be held", SOON, |queue| queue.unacked == 1).await;
    disk.empty();
    eventually("the late result", SOON, async || web.status("late").await == "succeeded").await;
    web.accepts().await;
    vhost.queue_when("p.results", "the result to be acknowledged", SOON, |queue| queue.messages == 0).await;
}

/// 300 MB of results, while another program has the file for itself.
#[tokio::test(flavor = "multi_thread")]
async fn results_wait_in_the_queue_while_the_store_is_locked_and_memory_stays_bounded() {
    let vhost = topology("locked").await;
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("requests.db");
    let web = Shipped::start(&vhost, &file).await;
    web.accepts().await;
    let mut other = SqliteConnection::connect(&format!("sqlite://{}", file.display())).await.expect("opens");
    sqlx::query("BEGIN EXCLUSIVE").execute(&mut other).await.expect("is locked");
    let before = web.peak();
    let large = "x".repeat(1 << 20);
    for number in 0..300 {
        let body = json!({"requestId": format!("r{number}"), "processingResults": large}).to_string();
        vhost.publish("p", "result", body).await;
    }
    let waits = "all results to wait, a few with the web side";
    vhost.queue_when("p.results", waits, SOON, |queue| queue.messages == 300 && queue.unacked <= 64).await;
    web.refused("store-unavailable").await;
    vhost.queue_when("p.results", waits, SOON, |queue| queue.messages == 300 && queue.unacked <= 64).await;
    sqlx::query("ROLLBACK").execute(&mut other).await.expect("is unlocked");
    other.close().await.expect("closes");
    vhost.queue_when("p.results", "all to be recorded", 3 * SOON, |queue| queue.messages == 0).await;
    let peak = web.peak();
    eprintln!("the web side took {before} MiB before, and {peak} MiB at most");
    assert!(peak < before + 220, "{before} MiB before, {peak} MiB at most");
    for number in [0, 150, 299] {
        assert_eq!(web.status(&format!("r{number}")).await, "succeeded");
    }
    web.accepts().await;
}

/// Submits until the program is gone; returns the ids that got a 202.
async fn accepted(http: reqwest::Client, base: String, count: Arc<AtomicUsize>) -> Vec<String> {
    let mut ids = Vec::new();
    loop {
        let request = http.post(format!("{base}/api/v1/processData")).header("content-type", "application/json");
        let Ok(answer) = request.body(r#"{"data":1}"#).send().await else { return ids };
        let status = answer.status();
        let Ok(body) = answer.json::<Value>().await else { return ids };
        if status == StatusCode::ACCEPTED {
            ids.push(body["requestId"].as_str().expect("is a string").to_owned());
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_accepted_has_its_record_however_often_the_process_is_killed() {
    let vhost = topology("killed-often").await;
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("requests.db");
    let mut all = Vec::new();
    for _ in 0..10 {
        let mut web = Shipped::start(&vhost, &file).await;
        let count = Arc::new(AtomicUsize::new(0));
        let client = |_| tokio::spawn(accepted(web.http.clone(), web.base.clone(), count.clone()));
        let clients: Vec<_> = (0..8).map(client).collect();
        eventually("traffic", SOON, async || count.load(Ordering::Relaxed) >= 30).await;
        web.program.kill9();
        for client in clients {
            all.extend(client.await.expect("does not panic"));
        }
    }
    let web = Shipped::start(&vhost, &file).await;
    eprintln!("{} requests were accepted in ten lives", all.len());
    assert!(all.len() >= 300, "{}", all.len());
    for id in &all {
        assert_eq!(web.status(id).await, "queued", "{id} was accepted");
    }
    let mut other = SqliteConnection::connect(&format!("sqlite://{}", file.display())).await.expect("opens");
    let verdict: String = sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut other).await.expect("is checked");
    assert_eq!(verdict, "ok");
    // Each is on the queue as well.
    vhost.queue_when("p.requests", "all to be queued", SOON, |queue| queue.ready >= all.len() as u64).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_taken_with_backup_under_traffic_opens_with_all_that_was_recorded_before() {
    let (vhost, web) = web("backup").await;
    let mut before = Vec::new();
    for _ in 0..20 {
        before.push(web.submit(json!(1)).await);
    }
    result(&vhost, &json!(before[0]), json!("kept")).await;
    web.record_when(&before[0], "succeeded").await;
    let web = Arc::new(web);
    let stop = CancellationToken::new();
    let (busy, until) = (web.clone(), stop.clone());
    let traffic = tokio::spawn(async move {
        while !until.is_cancelled() {
            busy.submit(json!(2)).await;
        }
    });
    let directory = tempfile::tempdir().expect("a directory");
    let copy = TestStore::File(directory);
    std::fs::create_dir_all(copy.file().parent().expect("has one")).expect("is made");
    let (from, to) = (web.store.file(), copy.file());
    let saved = tokio::process::Command::new("sqlite3").arg(from).arg(format!(".backup '{}'", to.display())).output();
    let saved = saved.await.expect("sqlite3 is installed");
    assert!(saved.status.success(), "{}", String::from_utf8_lossy(&saved.stderr));
    stop.cancel();
    traffic.await.expect("does not panic");
    let restored = Web::start_in(copy, &vhost.url(), &[]).await;
    restored.ready().await;
    for id in &before[1..] {
        assert_eq!(restored.record(id).await["status"], "queued");
    }
    assert_eq!(restored.record(&before[0]).await["result"], "kept");
    restored.submit(json!(3)).await;
}

/// Old enough to be forgotten.
async fn fill_with_the_past(web: &Web, rows: usize) {
    let store = web.store.open().await;
    let at = Timestamp::now() - Span::new().hours(48);
    for part in (0..rows).collect::<Vec<_>>().chunks(5000) {
        let change = |number: &usize| Change {
            id: RequestId::from_text(&format!("old-{number}")).expect("is an id"),
            at,
            replay: Some(0),
            what: What::Succeeded {
                attempt: 1,
                result: serde_json::value::RawValue::from_string(format!("\"{}\"", "r".repeat(200))).expect("is JSON"),
            },
        };
        store.record(part.iter().map(change).collect::<Vec<_>>()).await.expect("is recorded");
    }
}

/// How long each of many submits took, one after the other, until `done`.
async fn submits(web: &Web, mut done: impl AsyncFnMut() -> bool) -> Vec<Duration> {
    let mut took = Vec::new();
    loop {
        let begun = Instant::now();
        web.submit(json!(1)).await;
        took.push(begun.elapsed());
        if took.len().is_multiple_of(50) && done().await {
            took.sort_unstable();
            return took;
        }
    }
}

async fn the_past_is_forgotten_without_a_stall(store: StoreKind) {
    const ROWS: usize = 100_000;
    let (_vhost, web) = crate::fixture::web_on(store, "retention").await;
    fill_with_the_past(&web, ROWS).await;
    let (first, last) = ("old-0".to_owned(), format!("old-{}", ROWS - 1));
    let gone = async |id: &str| web.get(&format!("/api/v1/requests/{id}")).await.status() == StatusCode::NOT_FOUND;
    eventually("the first to be forgotten", SOON, async || gone(&first).await).await;
    let begun = Instant::now();
    let took = submits(&web, async || gone(&last).await).await;
    let (middle, p99, worst) = (took[took.len() / 2], took[took.len() * 99 / 100], took[took.len() - 1]);
    eprintln!(
        "{store:?}: {ROWS} forgotten in {:?}; {} submits meanwhile: median {middle:?}, p99 {p99:?}, worst {worst:?}",
        begun.elapsed(),
        took.len()
    );
    assert!(p99 < Duration::from_secs(1), "{p99:?}");
}

on_each_store!(the_past_is_forgotten_without_a_stall);

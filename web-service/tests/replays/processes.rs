//! Web sides as processes of their own, killed and frozen half-way.

use super::{
    handled::Handled,
    letters::{counts, fail, replay},
};
use crate::fixture::{SOON, StoreKind, TestStore, declare_on, on_each_store};
use futures::future::join;
use nix::sys::signal::Signal;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, PgConnection};
use std::{process::Command, time::Duration};
use warren_messaging::{message::FailureReason, topology::Topology};
use warren_testkit::{
    broker::{self, Vhost},
    eventually, free_port,
    postgres::Database,
    program::Program,
};

/// The lease of the one that was killed has to end first.
const PATIENCE: Duration = Duration::from_secs(90);

on_each_store!(a_replay_that_is_killed_half_way_neither_loses_nor_doubles);

/// A web side with an address of its own.
pub struct Side {
    pub program: Program,
    pub http: Client,
    pub base: String,
}

impl Side {
    pub fn start(store: &TestStore, vhost: &Vhost) -> Self {
        Self::start_at(store, &vhost.url())
    }

    /// The same with this way to the broker.
    pub fn start_at(store: &TestStore, amqp_url: &str) -> Self {
        let listen = format!("127.0.0.1:{}", free_port());
        let mut command = Command::new(env!("CARGO_BIN_EXE_warren-web-service"));
        command.args(["--amqp-url", amqp_url, "--exchange", "p", "--listen", &listen]).args(store.arguments());
        Self { program: Program::start(command), http: Client::new(), base: format!("http://{listen}") }
    }

    pub async fn ready(&self) {
        eventually("the web side to be ready", SOON, async || {
            let answer = self.http.get(format!("{}/readyz", self.base)).send().await;
            answer.is_ok_and(|answer| answer.status() == StatusCode::OK)
        })
        .await;
    }

    async fn text(&self, path: &str) -> Result<String, String> {
        let answer = self.http.get(format!("{}{path}", self.base)).send().await.map_err(|error| error.to_string())?;
        answer.text().await.map_err(|error| error.to_string())
    }

    async fn get(&self, path: &str) -> Result<Value, String> {
        serde_json::from_str(&self.text(path).await?).map_err(|error| error.to_string())
    }

    async fn metric(&self, name: &str) -> u64 {
        let metrics = self.text("/metrics").await.expect("is answered");
        let line = metrics.lines().find(|line| line.starts_with(name)).expect("is there");
        line.rsplit(' ').next().and_then(|number| number.parse().ok()).expect("is a number")
    }

    /// How many replays it works on.
    async fn running(&self) -> u64 {
        self.metric("warren_web_replays_running ").await
    }

    async fn replayed(&self) -> u64 {
        self.metric("warren_web_requests_replayed_total ").await
    }

    /// Makes dead letters, and waits until they are listed.
    async fn fail(&self, vhost: &Vhost, letters: usize) {
        for number in 0..letters {
            fail(vhost, &format!("r{number}"), 0, FailureReason::AttemptsExhausted).await;
        }
        eventually("all to be listed", PATIENCE, async || {
            let page = self.get("/api/v1/dead-letters?limit=1000").await?;
            if page["deadLetters"].as_array().map(Vec::len) == Some(letters) { Ok(()) } else { Err(page.to_string()) }
        })
        .await;
    }

    /// Waits until a job is done.
    pub async fn done(&self, location: &str) -> Value {
        eventually("the job to be done", PATIENCE, async || {
            let job = self.get(location).await?;
            if job["status"] == "done" { Ok(job) } else { Err(job.to_string()) }
        })
        .await
    }

    /// Waits until a job has replayed all of so many letters.
    pub async fn all_replayed(&self, location: &str, letters: usize) {
        let job = self.done(location).await;
        assert_eq!(counts(&job), [letters as u64, letters as u64, 0, 0], "{job}");
    }

    async fn each_ended_once(&self, letters: usize) {
        eventually("each to end", PATIENCE, async || {
            let page = self.get("/api/v1/requests?status=succeeded&limit=1000").await?;
            let records = page["requests"].as_array().cloned().unwrap_or_default();
            let once = records.iter().filter(|record| record["replays"] == 1).count();
            if once == letters { Ok(()) } else { Err(format!("{once} of {}", records.len())) }
        })
        .await;
    }
}

async fn a_replay_that_is_killed_half_way_neither_loses_nor_doubles(kind: StoreKind) {
    const LETTERS: usize = 200;
    let (vhost, store) = (broker::vhost("killed").await, TestStore::new(kind).await);
    declare_on(&vhost.url(), &Topology::named("p")).await;
    let mut side = Side::start(&store, &vhost);
    side.fail(&vhost, LETTERS).await;
    let handled = Handled::start(&vhost).await;
    let location = replay(&side.http, &side.base, json!({"filter": {}, "rate": 320})).await;
    eventually("half of them", SOON, async || handled.ids() > LETTERS / 3).await;
    side.program.kill9();
    let before = handled.ids();
    assert!(before < LETTERS, "it was killed half-way");
    let side = Side::start(&store, &vhost);
    side.all_replayed(&location, LETTERS).await;
    side.each_ended_once(LETTERS).await;
    let twice = handled.twice(LETTERS);
    eprintln!("killed after {before} of {LETTERS}; {twice} were worked on twice");
    assert!(twice <= 32, "{twice} were worked on twice");
    vhost.queue_when("p.dead", "all copies to be gone", SOON, |queue| queue.messages == 0).await;
}

/// Two on one database, with dead letters.
async fn two(label: &str, letters: usize) -> (Vhost, TestStore, [Side; 2]) {
    let (vhost, store) = (broker::vhost(label).await, TestStore::new(StoreKind::Postgres).await);
    declare_on(&vhost.url(), &Topology::named("p")).await;
    let sides = [Side::start(&store, &vhost), Side::start(&store, &vhost)];
    sides[0].fail(&vhost, letters).await;
    sides[1].ready().await;
    (vhost, store, sides)
}

/// The one that works on the job, and the other.
async fn owner_first(sides: [Side; 2]) -> [Side; 2] {
    let [one, other] = sides;
    let is_one =
        eventually("one to work on the job", SOON, async || match join(one.running(), other.running()).await {
            (1, 0) => Ok(true),
            (0, 1) => Ok(false),
            counts => Err(format!("{counts:?}")),
        })
        .await;
    if is_one { [one, other] } else { [other, one] }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_replicas_works_on_a_job_and_the_other_goes_on_when_it_is_killed() {
    const LETTERS: usize = 100;
    let (vhost, _store, sides) = two("taken-over", LETTERS).await;
    let handled = Handled::start(&vhost).await;
    let location = replay(&sides[0].http, &sides[0].base, json!({"filter": {}, "rate": 20})).await;
    let [mut owner, other] = owner_first(sides).await;
    eventually("half of them", SOON, async || {
        assert_eq!(other.running().await, 0, "one works on it");
        handled.ids() > LETTERS / 2
    })
    .await;
    owner.program.kill9();
    let [_, before, ..] = counts(&other.get(&location).await.expect("is answered"));
    assert!((1..LETTERS as u64).contains(&before), "it was killed half-way: {before}");
    assert_eq!(other.replayed().await, 0, "all of them were the owner's");
    other.all_replayed(&location, LETTERS).await;
    other.each_ended_once(LETTERS).await;
    assert_eq!(other.replayed().await, LETTERS as u64 - before);
    let twice = handled.twice(LETTERS);
    eprintln!("killed after {before} of {LETTERS}; {twice} were worked on twice");
    assert!(twice <= 2, "{twice} were worked on twice, a tenth of a second's worth is 2");
    // Maybe at the second pass, a minute after the first.
    vhost.queue_when("p.dead", "all copies to be gone", 6 * SOON, |queue| queue.messages == 0).await;
}

/// Nobody notices that it is frozen; what its transaction has locked the other one needs.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_freezes_in_a_transaction_holds_nobody_up_and_adds_nothing_when_it_thaws() {
    const LETTERS: usize = 30;
    let (vhost, store, sides) = two("frozen", LETTERS).await;
    let TestStore::Database(base) = &store else { unreachable!("it is one") };
    let lock = lock(base, "requests").await;
    let location = replay(&sides[0].http, &sides[0].base, json!({"filter": {}})).await;
    let [mut owner, other] = owner_first(sides).await;
    let blocked = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                   AND wait_event_type = 'Lock' AND query LIKE 'UPDATE requests SET replays%'";
    eventually("it to wait within its transaction", SOON, async || base.number(blocked).await == 1).await;
    owner.program.signal(Signal::SIGSTOP);
    lock.close().await.expect("ends");
    let handled = Handled::start(&vhost).await;
    other.all_replayed(&location, LETTERS).await;
    owner.program.signal(Signal::SIGCONT);
    other.each_ended_once(LETTERS).await;
    eventually("it to let go of the job", SOON, async || owner.running().await == 0).await;
    assert_eq!((owner.replayed().await, other.replayed().await), (0, LETTERS as u64));
    assert_eq!(handled.twice(LETTERS), 0);
}

/// Nothing is written to the table until the connection is closed.
async fn lock(base: &Database, table: &str) -> PgConnection {
    let mut connection = PgConnection::connect(&base.url()).await.expect("connects");
    let lock = sqlx::AssertSqlSafe(format!("BEGIN; LOCK TABLE {table} IN SHARE MODE"));
    connection.execute(sqlx::raw_sql(lock)).await.expect("is locked");
    connection
}

//! A PostgreSQL that is away, wrong, or killed.

use crate::fixture::{SOON, StoreKind, TestStore, Web, declare_on, kind, problem, result, web_on};
use reqwest::StatusCode;
use serde_json::json;
use sqlx::{Connection as _, PgConnection};
use std::{process::Command, sync::Arc, time::Duration};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use warren_messaging::topology::Topology;
use warren_testkit::{
    broker::{self, Vhost},
    eventually, free_port,
    postgres::{self, Database, database_on},
    program::Program,
    proxy::Proxy,
};
use warren_web_service::store::{Location, Store, postgres::PostgresUrl};

const PROGRAM: &str = env!("CARGO_BIN_EXE_warren-web-service");

/// Starts a web side on an address at which something is wrong, and waits until `/readyz` says all these words.
async fn not_ready_because(url: &str, words: &[&str]) {
    let mut program = Program::start({
        let mut command = Command::new(PROGRAM);
        command.args(["--amqp-url", "amqp://127.0.0.1:1", "--exchange", "p", "--postgres-url", url]);
        command.args(["--listen", &format!("127.0.0.1:{}", free_port())]);
        command
    });
    let line = program.wait_for_line("http://127.0.0.1", SOON).await;
    let base = &line[line.find("http://").expect("was looked for")..].split("/api").next().unwrap_or_default();
    let http = reqwest::Client::new();
    eventually(&format!("/readyz to say {words:?}"), SOON, async || {
        let response = http.get(format!("{base}/readyz")).send().await.map_err(|error| error.to_string())?;
        let text = response.text().await.unwrap_or_default();
        if words.iter().all(|word| text.contains(word)) { Ok(()) } else { Err(text) }
    })
    .await;
    let request = http.post(format!("{base}/api/v1/processData")).header("content-type", "application/json");
    let refused = request.body(r#"{"data":1}"#).send().await.expect("is answered");
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(kind(&problem(refused).await), "store-unavailable");
    // Long enough for several tries.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    let output = program.output();
    assert!(!output.contains("s3cret") && !output.contains("pass-w0rd"), "{output}");
    assert_eq!(output.lines().filter(|line| line.contains(words[0])).count(), 1, "said once: {output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_takes_long_to_bring_up_to_date_is_told_of_and_waited_for() {
    let database = fresh().await;
    let url: PostgresUrl = database.url().parse().expect("is an address");
    let open =
        async || Store::open(Location::Database { url: url.clone(), exchange: "p".into() }).await.expect("opens");
    let (store, _) = open().await;
    eventually("the store to be ready", SOON, async || store.health().failure().map_or(Ok(()), Err)).await;
    let columns = ["never_accepted", "in_flight", "forgotten"].map(|name| format!("DROP COLUMN {name}")).join(", ");
    database
        .execute(&format!("ALTER TABLE replay_jobs {columns}; DELETE FROM _sqlx_migrations WHERE version = 3"))
        .await;
    let mut other = PgConnection::connect(&database.url()).await.expect("connects");
    let mut holding = other.begin().await.expect("begins");
    sqlx::query("LOCK TABLE replay_jobs IN ACCESS SHARE MODE").execute(&mut *holding).await.expect("is locked");

    let (store, _) = open().await;
    eventually("the store to say so", SOON, async || {
        let failure = store.health().failure().unwrap_or_default();
        if failure.contains("is being brought up to date") { Ok(()) } else { Err(failure) }
    })
    .await;
    holding.rollback().await.expect("is unlocked");
    eventually("the store to be ready", SOON, async || store.health().failure().map_or(Ok(()), Err)).await;
}

async fn fresh() -> Database {
    postgres::database("fault").await
}

#[tokio::test]
async fn a_wrong_password_is_told_without_it() {
    let url = fresh().await.url_as("warren", "s3cret");
    not_ready_because(&url, &["refused the login of user `warren`", "127.0.0.1:", "WARREN_POSTGRES_URL"]).await;
}

#[tokio::test]
async fn a_missing_database_is_named() {
    let url = fresh().await.url_of("nowhere");
    not_ready_because(&url, &["database `nowhere`", "does not exist", "CREATE DATABASE"]).await;
}

#[tokio::test]
async fn a_server_that_is_away_is_named() {
    let url = format!("postgres://u:s3cret@127.0.0.1:{}/d", free_port());
    not_ready_because(&url, &["database `d` of PostgreSQL at 127.0.0.1:", "cannot be reached", "refused"]).await;
}

#[tokio::test]
async fn missing_privileges_are_named_with_the_statement_that_grants_them() {
    let database = fresh().await;
    let name = database.name();
    database.execute(&format!("CREATE ROLE {name}_user LOGIN PASSWORD 's3cret'")).await;
    let url = database.url_as(&format!("{name}_user"), "s3cret");
    not_ready_because(&url, &["may not do what the store needs", "GRANT USAGE, CREATE", "permission denied"]).await;
    database.execute(&format!("DROP ROLE {name}_user")).await;
}

#[tokio::test]
async fn another_encoding_is_refused() {
    let database = fresh().await;
    let other = format!("{}_ascii", database.name());
    database
        .execute(&format!(
            "CREATE DATABASE {other} ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
        ))
        .await;
    not_ready_because(&database.url_of(&other), &["its encoding is SQL_ASCII", "ENCODING 'UTF8'"]).await;
    database.execute(&format!("DROP DATABASE {other} WITH (FORCE)")).await;
}

#[tokio::test]
async fn tables_that_were_made_otherwise_are_left_alone() {
    let (_vhost, web) = web_on(StoreKind::Postgres, "otherwise").await;
    let TestStore::Database(database) = web.end().await else { panic!("the test is on a database") };
    database.execute("UPDATE _sqlx_migrations SET checksum = ''").await;
    not_ready_because(&database.url(), &["they are none of Warren's", "migration 1"]).await;
}

#[tokio::test]
async fn a_database_that_takes_no_writes_is_found_again_when_it_does() {
    let (vhost, web) = web_on(StoreKind::Postgres, "read-only").await;
    let TestStore::Database(database) = &web.store else { panic!("the test is on a database") };
    let (id, name) = (web.submit(json!(1)).await, database.name());
    database.execute(&format!("ALTER DATABASE {name} SET default_transaction_read_only = on")).await;
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    database.execute(end).await;
    result(&vhost, &json!(id), json!(7)).await;
    eventually("/readyz to tell", SOON, async || {
        let text = web.get("/readyz").await.text().await.unwrap_or_default();
        if text.contains("takes no writes") { Ok(()) } else { Err(text) }
    })
    .await;
    let reset = format!("BEGIN READ WRITE; ALTER DATABASE {name} RESET default_transaction_read_only; COMMIT");
    database.execute(&reset).await;
    assert_eq!(web.record_when(&id, "succeeded").await["result"], 7);
    web.ready().await;
}

#[test]
fn an_address_that_cannot_be_read_is_refused_without_being_repeated() {
    let output = Command::new(PROGRAM)
        .args(["--amqp-url", "amqp://127.0.0.1:1"])
        .env("WARREN_POSTGRES_URL", "postgres://warren:s3cret#@h/d")
        .output()
        .expect("runs");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("--postgres-url") && text.contains("%23"), "{text}");
    assert!(!text.contains("s3cret"), "{text}");
}

/// As when a firewall drops packets: nobody hears that anything is wrong.
#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_swallows_everything_is_noticed_and_heals() {
    let Behind { vhost, database: _database, network, web } = Behind::new("swallowed").await;
    let id = web.submit(json!(1)).await;
    // The poll finds a connection to the database open; what comes after it has to open another.
    web.record(&id).await;
    let poll = web.poll(&id).await;
    // By the time this is answered the poll has had its first look, whose failure would end it.
    web.record(&id).await;
    network.swallow();
    let begun = Instant::now();
    assert_eq!(kind(&problem(web.post(r#"{"data":1}"#).await).await), "not-recorded");
    assert!(begun.elapsed() < Duration::from_secs(15), "took {:?}", begun.elapsed());
    let begun = Instant::now();
    assert_eq!(kind(&problem(web.post(r#"{"data":1}"#).await).await), "store-unavailable");
    assert!(begun.elapsed() < Duration::from_secs(1), "took {:?}", begun.elapsed());
    let text = web.get("/readyz").await.text().await.expect("is text");
    assert!(text.contains("did not answer in time"), "{text}");
    result(&vhost, &json!(id), json!("late")).await;
    network.restore();
    let (status, record) = tokio::time::timeout(2 * SOON, poll).await.expect("ends").expect("does not panic");
    assert_eq!((status, &record["result"]), (StatusCode::OK, &json!("late")), "{record}");
    web.ready().await;
    web.submit(json!(2)).await;
}

/// A web side whose line to its database can be broken.
struct Behind {
    vhost: Vhost,
    database: Database,
    network: Proxy,
    web: Web,
}

impl Behind {
    async fn new(label: &str) -> Self {
        let (vhost, database) = (broker::vhost(label).await, fresh().await);
        declare_on(&vhost.url(), &Topology::named("p")).await;
        let url = database.url();
        let (_, place) = url.split_once('@').expect("has a user");
        let network = Proxy::start(place.split('/').next().expect("a host and port"));
        // The store of the fixture is not used.
        let web = Web::start_on(&vhost.url(), &["--postgres-url", &network.url(&url)]).await;
        web.ready().await;
        Self { vhost, database, network, web }
    }
}

/// As when the database's machine is gone and its address leads to another.
#[tokio::test(flavor = "multi_thread")]
async fn connections_that_fall_silent_while_they_are_read_from_are_replaced() {
    let Behind { vhost: _vhost, database, network, web } = Behind::new("silent").await;
    let id = web.submit(json!(1)).await;
    let mut other = PgConnection::connect(&database.url()).await.expect("connects");
    let mut holding = other.begin().await.expect("begins");
    sqlx::query("LOCK TABLE requests IN ACCESS EXCLUSIVE MODE").execute(&mut *holding).await.expect("is locked");
    let path = format!("/api/v1/requests/{id}");
    let asking: Vec<_> = (0..4).map(|_| web.http.get(format!("{}{path}", web.base)).send()).map(tokio::spawn).collect();
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                   AND wait_event_type = 'Lock' AND query LIKE 'SELECT%'";
    eventually("all connections to wait", SOON, async || database.number(waiting).await == 4).await;
    network.swallow_older();
    holding.rollback().await.expect("is unlocked");
    eventually("the record to be read", 2 * SOON, async || match web.get(&path).await.status() {
        StatusCode::OK => Ok(()),
        status => Err(status.to_string()),
    })
    .await;
    for asked in asking {
        let status = asked.await.expect("does not panic").expect("is answered").status();
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    }
    web.ready().await;
}

/// Submits and answers without a pause until told to stop; returns the ids that got a 202.
async fn traffic(web: Arc<Web>, stop: CancellationToken) -> Vec<String> {
    let mut accepted = Vec::new();
    while !stop.is_cancelled() {
        let response = web.post(r#"{"data":1}"#).await;
        match response.status() {
            StatusCode::ACCEPTED => {
                let body: serde_json::Value = response.json().await.expect("is JSON");
                accepted.push(body["requestId"].as_str().expect("is a string").to_owned());
            }
            StatusCode::SERVICE_UNAVAILABLE => tokio::time::sleep(Duration::from_millis(20)).await,
            other => panic!("{other}"),
        }
    }
    accepted
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_accepted_is_lost_when_the_database_is_killed_and_results_wait() {
    let mut server = postgres::private().await;
    let vhost = broker::vhost("killed").await;
    declare_on(&vhost.url(), &Topology::named("p")).await;
    let store = TestStore::Database(database_on(&server, "killed").await);
    let web = Arc::new(Web::start_in(store, &vhost.url(), &[]).await);
    web.ready().await;
    let stop = CancellationToken::new();
    let clients: Vec<_> = (0..4).map(|_| tokio::spawn(traffic(web.clone(), stop.clone()))).collect();
    let known = web.submit(json!("known")).await;
    let poll = web.poll(&known).await;
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_millis(700)).await;
        server.kill();
        eventually("/readyz to say so", SOON, async || {
            let text = web.get("/readyz").await.text().await.unwrap_or_default();
            if text.contains("cannot be reached") { Ok(()) } else { Err(text) }
        })
        .await;
        assert_eq!(kind(&problem(web.post(r#"{"data":1}"#).await).await), "store-unavailable");
        result(&vhost, &json!(known), json!("done")).await;
        vhost.queue_when("p.results", "the result to be held", SOON, |queue| queue.unacked > 0).await;
        server.start_again().await.expect("starts");
        web.ready().await;
    }
    let (status, record) = tokio::time::timeout(SOON, poll).await.expect("ends").expect("does not panic");
    assert_eq!(
        (status, &record["result"]),
        (StatusCode::OK, &json!("done")),
        "the poll outlived both deaths: {record}"
    );
    tokio::time::sleep(Duration::from_millis(500)).await;
    stop.cancel();
    let mut accepted = Vec::new();
    for client in clients {
        accepted.extend(client.await.expect("does not panic"));
    }
    assert!(accepted.len() > 20, "{}", accepted.len());
    for id in &accepted {
        result(&vhost, &json!(id), json!("done")).await;
        result(&vhost, &json!(id), json!("a duplicate")).await;
    }
    for id in &accepted {
        assert_eq!(web.record_when(id, "succeeded").await["result"], "done");
    }
    vhost.queue_when("p.results", "all to be acknowledged", SOON, |queue| queue.messages == 0).await;
}

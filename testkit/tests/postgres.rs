//! A PostgreSQL of a test's own.

use sqlx::{Connection as _, Executor as _, PgConnection};
use warren_testkit::postgres::{database, database_on, private};

#[tokio::test]
async fn each_test_has_a_database_of_its_own() {
    let (one, other) = (database("one").await, database("other").await);
    one.execute("CREATE TABLE t (n INT); INSERT INTO t VALUES (7)").await;
    other.execute("CREATE TABLE t (n INT)").await;
    assert_eq!(one.number("SELECT sum(n) FROM t").await, 7);
    assert_eq!(other.number("SELECT count(*) FROM t").await, 0);
}

#[tokio::test]
async fn a_killed_server_is_started_again_with_what_it_held() {
    let mut server = private().await;
    let database = database_on(&server, "held").await;
    database.execute("CREATE TABLE t (n INT); INSERT INTO t VALUES (7)").await;
    server.kill();
    server.start_again().await.expect("starts");
    assert_eq!(database.number("SELECT sum(n) FROM t").await, 7);
}

#[tokio::test]
async fn what_a_server_holds_can_be_kept_as_statements() {
    let server = private().await;
    let mut connection = PgConnection::connect(&server.url()).await.expect("connects");
    connection.execute("CREATE TABLE held (n INT); INSERT INTO held VALUES (4711)").await.expect("are run");
    let file = tempfile::NamedTempFile::new().expect("a file");
    server.dump(file.path()).expect("is written");
    let text = std::fs::read_to_string(file.path()).expect("is text");
    assert!(text.contains("CREATE TABLE public.held") && text.contains("4711"), "{text}");
}

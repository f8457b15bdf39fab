//! Records in PostgreSQL, with several web replicas on this machine.

use super::running::{Local, SOON, pipeline};
use serde_json::{Value, json};
use warren_testkit::{broker, eventually, postgres};

/// The pipeline `p` with two web replicas on a database; the Secret's value, if it stands in the file.
fn file(url: Option<&str>) -> String {
    let mut object: Value =
        serde_json::from_str(&pipeline("p", json!({"handler": {"demo": {"delay": "0s"}}}))).expect("is JSON");
    object["spec"]["web"] = json!({"replicas": 2, "store": {"postgres": {"secretRef": {"name": "db", "key": "url"}}}});
    let secret =
        |url| json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db"}, "stringData": {"url": url}});
    match url {
        Some(url) => format!("{object}\n---\n{}", secret(url)),
        None => object.to_string(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_web_replicas_answer_for_each_other_though_one_is_killed() {
    let (vhost, database) = (broker::vhost("replicas").await, postgres::database("local").await);
    let mut local = Local::start(&file(Some(&database.url())), Some(&vhost.url())).await;
    let base = local.base("p").await;
    eventually("two web replicas", SOON, async || local.pids("warren-web-service").len() == 2).await;
    let mut ids = Vec::new();
    for number in 0..30 {
        ids.push(local.submit(&base, json!(format!("{number}"))).await);
    }
    let one = local.pids("warren-web-service")[0];
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(one), nix::sys::signal::SIGKILL).expect("is killed");
    for (number, id) in ids.iter().enumerate() {
        assert_eq!(local.record_when(&base, id, "succeeded").await["result"], format!("{number}-processed"));
    }
    assert_eq!(database.number("SELECT count(*) FROM requests WHERE status = 'succeeded'").await, 30);
    local.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_nobody_names_is_asked_for_by_its_variable() {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(super::running::file(directory.path()), file(None)).expect("is written");
    let mut command =
        super::running::command(directory.path(), Some("amqp://127.0.0.1:1"), warren_testkit::free_port());
    let output = command.env_remove("WARREN_POSTGRES_URL").output().expect("runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("`db`") && said.contains("WARREN_POSTGRES_URL"), "{said}");
}

//! Dead letters from the terminal, and deadlines, with every part in play.

use super::running::{Local, SOON, pipeline};
use serde_json::{Value, json};
use std::process::{Command, Output};
use warren_testkit::broker;

fn dead_letters(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_warren-operator"));
    command.arg("dead-letters").args(arguments).env_remove("WARREN_URL").output().expect("runs")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

/// A pipeline whose handler fails with the exit status in a file, until another file is there, and whose work on
/// `"slow"` takes a second.
async fn start(vhost: &broker::Vhost) -> (Local, String) {
    let directory = tempfile::tempdir().expect("a directory");
    let script = format!(
        "data=$(cat); [ \"$data\" != '\"slow\"' ] || sleep 1; cd {}; [ -e mended ] || exit $(cat status); echo \"$data\"",
        directory.path().display()
    );
    std::fs::write(directory.path().join("status"), "1").expect("is written");
    let exec = json!({"image": "busybox", "command": ["sh", "-c", script]});
    let retry = json!({"maxAttempts": 2, "initialDelay": "100ms"});
    let text = pipeline("fixable", json!({"handler": {"exec": exec}, "retry": retry}));
    std::fs::write(super::running::file(directory.path()), text).expect("is written");
    let mut local = Local::start_in(directory, Some(&vhost.url())).await;
    let base = local.base("fixable").await;
    (local, base)
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_listed_and_replayed_from_the_terminal() {
    let vhost = broker::vhost("dead-letters").await;
    let (local, base) = start(&vhost).await;
    let mut ids = Vec::new();
    for number in 0..3 {
        let id = local.submit(&base, json!(number)).await;
        local.record_when(&base, &id, "failed").await;
        ids.push(id);
    }
    let listed = dead_letters(&["list", "--url", &base, "--since", "1h"]);
    let table = text(&listed.stdout);
    assert!(listed.status.success() && ids.iter().all(|id| table.contains(id)), "{table}{}", text(&listed.stderr));
    assert_eq!(table.lines().count(), 4, "{table}");
    let newest = dead_letters(&["list", "--url", &base, "--limit", "1", "--output", "json"]);
    let newest: Value = serde_json::from_slice(&newest.stdout).expect("is JSON");
    assert_eq!(newest["deadLetters"][0]["requestId"], json!(ids[2]));

    std::fs::write(local.directory.path().join("mended"), "").expect("is written");
    let one = dead_letters(&["replay", "--url", &base, "--id", &ids[0], "--output", "json"]);
    let job: Value = serde_json::from_slice(&one.stdout).expect("is JSON");
    assert_eq!((&job["total"], &job["rate"]), (&json!(1), &json!(100)), "{job}");
    local.record_when(&base, &ids[0], "succeeded").await;
    let rest = dead_letters(&["replay", "--url", &base, "--all", "--rate", "50", "--wait"]);
    assert!(rest.status.success(), "{}", text(&rest.stderr));
    assert!(text(&rest.stdout).contains("done: 2 of 2 replayed"), "{}", text(&rest.stdout));
    for (number, id) in ids.iter().enumerate() {
        let record = local.record_when(&base, id, "succeeded").await;
        assert_eq!((&record["result"], &record["replays"]), (&json!(number), &json!(1)), "{record}");
        assert_eq!(record["history"][0]["reason"], "rejected", "{record}");
    }
    let none = dead_letters(&["list", "--url", &base]);
    assert_eq!(text(&none.stdout), "no dead letters\n");
    local.end().await;
}

/// Replays all dead letters, and waits until they are on the queue.
fn replay_all(base: &str) {
    let replayed = dead_letters(&["replay", "--url", base, "--all", "--wait"]);
    assert!(replayed.status.success(), "{}", text(&replayed.stderr));
    assert!(text(&replayed.stdout).contains("done: 1 of 1 replayed"), "{}", text(&replayed.stdout));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_fails_too_is_a_dead_letter_again_and_the_queue_keeps_no_copy_of_what_was_replayed() {
    let vhost = broker::vhost("dead-again").await;
    let (local, base) = start(&vhost).await;
    let id = local.submit(&base, json!("x")).await;
    local.record_when(&base, &id, "failed").await;
    // Not for ever, this time: the retries of a replay belong to it.
    std::fs::write(local.directory.path().join("status"), "75").expect("is written");
    replay_all(&base);
    let record = local.record_when(&base, &id, "failed").await;
    assert_eq!((&record["replays"], &record["attempts"]), (&json!(1), &json!(2)), "{record}");
    assert_eq!(record["error"]["reason"], "attempts_exhausted", "{record}");
    assert_eq!(reasons(&record), ["rejected"], "{record}");
    let listed = dead_letters(&["list", "--url", &base, "--output", "json"]);
    let listed: Value = serde_json::from_slice(&listed.stdout).expect("is JSON");
    assert_eq!(listed["deadLetters"].as_array().map(Vec::len), Some(1), "{listed}");
    let letter = &listed["deadLetters"][0];
    assert_eq!((&letter["requestId"], &letter["replays"]), (&json!(id), &json!(1)), "{letter}");
    let only_the_new = |queue: &broker::QueueState| queue.messages == 1 && queue.ready == 1;
    vhost.queue_when("fixable.dead", "the first copy to be gone", SOON, only_the_new).await;

    std::fs::write(local.directory.path().join("mended"), "").expect("is written");
    replay_all(&base);
    let record = local.record_when(&base, &id, "succeeded").await;
    assert_eq!((&record["replays"], &record["attempts"], &record["result"]), (&json!(2), &json!(1), &json!("x")));
    assert_eq!(reasons(&record), ["rejected", "attempts_exhausted"], "{record}");
    vhost.queue_when("fixable.dead", "the second copy to be gone", SOON, |queue| queue.messages == 0).await;
    local.end().await;
}

/// How a request failed before, oldest first.
fn reasons(record: &Value) -> Vec<&str> {
    let history = record["history"].as_array().expect("is a list");
    history.iter().filter_map(|failure| failure["reason"].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_not_begun_in_time_ends_as_expired() {
    let vhost = broker::vhost("deadline").await;
    let (local, base) = start(&vhost).await;
    std::fs::write(local.directory.path().join("mended"), "").expect("is written");
    let slow = local.submit(&base, json!("slow")).await;
    let request = local.http.post(format!("{base}/api/v1/processData")).header("content-type", "application/json");
    let answer = request.body(r#"{"data": 1, "expiresIn": "100ms"}"#).send().await.expect("is answered");
    let accepted: Value = answer.json().await.expect("is JSON");
    let record = local.record_when(&base, accepted["requestId"].as_str().expect("is accepted"), "failed").await;
    assert_eq!(record["error"]["reason"], "expired", "{record}");
    assert!(record["deadline"].as_str() > record["submittedAt"].as_str(), "{record}");
    local.record_when(&base, &slow, "succeeded").await;
    local.end().await;
}

#[test]
fn what_cannot_be_done_is_told_with_the_way_out() {
    let nobody = format!("http://127.0.0.1:{}", warren_testkit::free_port());
    for (arguments, status, words) in [
        (&["list"][..], 1, &["--url", "pipeline"][..]),
        (&["list", "--url", &nobody], 1, &["does not answer", "127.0.0.1"]),
        (&["replay", "--url", &nobody], 1, &["--id", "--all"]),
        (&["replay", "--url", &nobody, "--all", "--id", "a"], 2, &["--all", "--id"]),
        (&["list", "--url", &nobody, "--since", "yesterday"], 2, &["24h"]),
    ] {
        let output = dead_letters(arguments);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {said}");
        assert!(words.iter().all(|word| said.contains(word)), "{arguments:?}: {said}");
    }
}

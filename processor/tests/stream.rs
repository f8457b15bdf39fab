//! The handler exec in its streaming mode, with real processes.

use crate::exec::{handler, runs, says};
use serde_json::Value;
use std::{fs, path::Path, time::Duration};
use warren_processor::builtin::Builtin;
use warren_testkit::eventually;

fn sh(script: &str) -> Builtin {
    handler(&["--handler=exec", "--exec-mode=stream", "--max-result-bytes=100000", "--", "sh", "-c", script])
}

#[tokio::test]
async fn one_process_answers_request_after_request() {
    let handler = sh(r#"while read line; do n=$((n + 1)); echo "{\"result\": $n}"; done"#);
    for n in 1..=3 {
        assert_eq!(says(&handler, "0").await, format!("done {n}"));
    }
}

#[tokio::test]
async fn a_request_is_one_line_with_id_attempt_and_data() {
    let handler = sh(r#"while read -r line; do printf '{"result": %s}\n' "$line"; done"#);
    let said = says(&handler, "{\n\"a\": \"b\\nc\"\n}").await;
    let line = said.strip_prefix("done ").unwrap_or_else(|| panic!("{said}"));
    let line: Value = serde_json::from_str(line).expect("is JSON");
    assert_eq!((&line["requestId"], &line["attempt"], &line["data"]["a"]), (&17.into(), &2.into(), &"b\nc".into()));
}

#[tokio::test]
async fn requests_at_once_have_a_process_each() {
    let handler = sh(r#"while read line; do sleep 0.3; echo "{\"result\": $$}"; done"#);
    let (one, other) = tokio::join!(says(&handler, "0"), says(&handler, "0"));
    assert_ne!(one, other);
    let again = says(&handler, "0").await;
    assert!(again == one || again == other, "an idle one is taken");
}

#[tokio::test]
async fn errors_say_whether_to_try_again() {
    let handler = sh(r#"while read line; do echo '{"error": "busy", "retry": true}'; done"#);
    assert_eq!(says(&handler, "0").await, "again busy");
    let handler = sh(r#"while read line; do echo '{"error": "bad", "retry": false}'; done"#);
    assert_eq!(says(&handler, "0").await, "never bad");
}

#[tokio::test]
async fn a_crash_is_tried_again_with_another_process() {
    let handler = sh(r#"read line; echo "{\"result\": $$}"; read line; echo boom >&2; exit 9"#);
    assert!(says(&handler, "0").await.starts_with("done "));
    assert_eq!(says(&handler, "0").await, "again the command ended with exit code 9 before it answered: boom");
    assert!(says(&handler, "0").await.starts_with("done "));
}

#[tokio::test]
async fn one_that_ends_while_idle_is_replaced_without_a_failure() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = folder.path().join("pid");
    let handler = sh(&format!("echo $$ > {}; read line; echo '{{\"result\": 1}}'", file.display()));
    assert_eq!(says(&handler, "0").await, "done 1");
    let pid = fs::read_to_string(&file).expect("is written").trim().parse().expect("is a number");
    eventually("the process to end", Duration::from_secs(20), async || !runs(pid)).await;
    assert_eq!(says(&handler, "0").await, "done 1");
}

/// What a script starts that outlives it, holds its output open, and notes its number in `file`.
fn left_behind(file: &Path) -> String {
    format!("sleep 1000 & echo $! > {}", file.display())
}

async fn noted(file: &Path) -> u32 {
    eventually("the number to be noted", Duration::from_secs(20), async || {
        fs::read_to_string(file).ok().and_then(|text| text.trim().parse().ok())
    })
    .await
}

#[tokio::test]
async fn a_crash_is_noticed_though_something_it_started_holds_its_output_and_that_is_killed() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = folder.path().join("pid");
    let handler = sh(&format!("read line; {}; exit 9", left_behind(&file)));
    let said = says(&handler, "0").await;
    assert_eq!(said, "again the command ended with exit code 9 before it answered");
    let pid = noted(&file).await;
    eventually("what it left to end", Duration::from_secs(20), async || !runs(pid)).await;
}

#[tokio::test]
async fn what_one_that_ended_while_idle_left_behind_is_killed_when_it_is_replaced() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let (own, left) = (folder.path().join("own"), folder.path().join("left"));
    let start = left_behind(&left);
    let handler = sh(&format!("echo $$ > {}; read line; echo '{{\"result\": 1}}'; {start}", own.display()));
    assert_eq!(says(&handler, "0").await, "done 1");
    let (own, pid) = (noted(&own).await, noted(&left).await);
    eventually("the process to end", Duration::from_secs(20), async || !runs(own)).await;
    assert_eq!(says(&handler, "0").await, "done 1");
    eventually("what it left to end", Duration::from_secs(20), async || !runs(pid)).await;
}

#[tokio::test]
async fn a_line_that_is_no_answer_is_final_and_the_process_replaced() {
    let handler = sh(r#"while read line; do echo "Loading $$"; done"#);
    let (one, other) = (says(&handler, "0").await, says(&handler, "0").await);
    assert!(one.starts_with("never the command answered no") && one.contains("`Loading "), "{one}");
    assert_ne!(one, other, "another process");
}

#[tokio::test]
async fn an_answer_without_end_is_final() {
    let handler = sh("read line; yes | tr -d '\\n'");
    let said = says(&handler, "0").await;
    assert!(said.starts_with("never the answer is larger than 100000 bytes"), "{said}");
}

#[tokio::test]
async fn time_that_is_up_kills_the_process() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = folder.path().join("pid");
    let handler = sh(&format!("echo $$ > {}; sleep 1000", file.display()));
    let attempt = tokio::spawn(async move { says(&handler, "0").await });
    let pid = eventually("the process", Duration::from_secs(20), async || {
        fs::read_to_string(&file).ok().and_then(|text| text.trim().parse().ok())
    });
    let pid = pid.await;
    attempt.abort();
    eventually("the process to end", Duration::from_secs(20), async || !runs(pid)).await;
}

//! The handler exec, with real processes.

use crate::{pipeline::Pipeline, worker};
use clap::Parser;
use serde_json::value::RawValue;
use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};
use warren_messaging::request_id::RequestId;
use warren_processor::{Handler as _, Outcome, Work, builtin::Builtin, handler_settings::HandlerSettings};
use warren_testkit::{eventually, program::Program};

#[derive(Parser)]
struct Options {
    #[command(flatten)]
    handler: HandlerSettings,
}

/// A handler of the binary's.
pub fn handler(arguments: &[&str]) -> Builtin {
    let arguments = ["program"].iter().chain(arguments);
    Options::try_parse_from(arguments).expect("the options are good").handler.build().expect("the handler is made")
}

fn sh(script: &str) -> Builtin {
    handler(&["--handler=exec", "--max-result-bytes=100000", "--", "sh", "-c", script])
}

/// What a handler says to a first attempt, in short.
pub async fn says(handler: &Builtin, data: &str) -> String {
    let id = RequestId::from_json("17").expect("is an id");
    let data: &RawValue = serde_json::from_str(data).expect("is JSON");
    let traceparent = Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    let work = Work { request_id: &id, attempt: 2, data, traceparent, deadline: None };
    short(tokio::time::timeout(crate::pipeline::DEADLINE, handler.handle(work)).await.expect("answers in time"))
}

pub fn short(outcome: Outcome) -> String {
    match outcome {
        Outcome::Done(json) => format!("done {}", json.get()),
        Outcome::Again { error, retry_after: None } => format!("again {error}"),
        Outcome::Again { error, retry_after: Some(pause) } => format!("again in {pause:?} {error}"),
        Outcome::Never { error } => format!("never {error}"),
    }
}

#[tokio::test]
async fn a_command_gets_the_data_on_its_input_and_gives_the_result_on_its_output() {
    assert_eq!(says(&sh("cat"), r#"{"a": [1]}"#).await, r#"done {"a": [1]}"#);
}

#[tokio::test]
async fn a_command_learns_of_request_attempt_and_trace_from_its_environment() {
    let said = says(&sh(r#"cat > /dev/null; echo "\"$WARREN_REQUEST_ID $WARREN_ATTEMPT $TRACEPARENT\"""#), "0").await;
    assert_eq!(said, r#"done "17 2 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01""#);
}

/// What a command of the program that is shipped answers, where the environment tells how to reach the broker.
async fn answers_in_a_pod(options: &[&str], script: &str) -> String {
    let pipeline = Pipeline::declared().await;
    let certificate = rcgen::generate_simple_self_signed(["h".to_owned()]).expect("is made").cert.pem();
    let mut command = worker::command(&pipeline, &[&["--handler=exec"], options, &["--", "sh", "-c", script]].concat());
    command.env("AMQP_URL", &pipeline.url).env("CLOUDAMQP_URL", &pipeline.url).env("AMQP_CA_PEM", certificate);
    let _worker = Program::start(command);
    pipeline.request(1, "0").await;
    pipeline.result().await.json()["processingResults"].to_string()
}

#[tokio::test]
async fn a_command_does_not_inherit_the_brokers_password_in_either_mode() {
    let seen = "${AMQP_URL-none} ${CLOUDAMQP_URL-none} $(echo ${AMQP_CA_PEM-none})";
    let once = format!(r#"cat > /dev/null; echo "\"{seen}\"""#);
    assert_eq!(answers_in_a_pod(&["--exec-mode=per-message"], &once).await, r#""none none none""#);
    let kept = format!(r#"while read line; do echo "{{\"result\": \"{seen}\"}}"; done"#);
    assert_eq!(answers_in_a_pod(&["--exec-mode=stream"], &kept).await, r#""none none none""#);
}

#[tokio::test]
async fn exit_codes_and_signals_decide_whether_it_is_tried_again() {
    assert_eq!(
        says(&sh("echo busy >&2; exit 75"), "0").await,
        "again the command asked to be tried again (exit code 75): busy"
    );
    assert_eq!(says(&sh("echo bad >&2; exit 3"), "0").await, "never the command failed with exit code 3: bad");
    assert_eq!(says(&sh("kill -9 $$"), "0").await, "again the command was killed by signal 9");
}

#[tokio::test]
async fn an_error_carries_the_end_of_a_long_standard_error() {
    let said = says(&sh("seq 100000 >&2; echo the cause >&2; exit 1"), "0").await;
    assert!(said.ends_with("the cause") && said.len() < 2200, "{} bytes: {said}", said.len());
}

#[tokio::test]
async fn an_attempt_whose_time_is_up_tells_the_end_of_standard_error_in_either_mode() {
    for mode in ["--exec-mode=per-message", "--exec-mode=stream"] {
        let pipeline = Pipeline::declared().await;
        let script = "echo the cause >&2; sleep 1000";
        let options = ["--timeout=500ms", "--handler=exec", mode, "--", "sh", "-c", script];
        let _worker = worker::shipped(&pipeline, &options);
        pipeline.request(1, "0").await;
        let error = pipeline.dead().await.header("x-error");
        assert_eq!(error.as_deref(), Some("timed out after 500ms: the cause"), "{mode}");
    }
}

#[tokio::test]
async fn output_that_is_no_json_is_final_and_shown() {
    let said = says(&sh("echo Traceback; yes | head -500"), "0").await;
    assert!(said.starts_with("never ") && said.contains("it begins `Traceback\\ny"), "{said}");
    assert!(says(&sh("true"), "0").await.starts_with("never "), "no output is no JSON");
}

#[tokio::test]
async fn a_result_that_is_too_large_is_final_and_its_command_killed() {
    let said = says(&sh("echo '\"'; yes"), "0").await;
    assert!(said.starts_with("never the result is larger than 100000 bytes"), "{said}");
}

#[tokio::test]
async fn a_command_that_does_not_read_its_input_breaks_nothing() {
    let large = format!("\"{}\"", "x".repeat(1_000_000));
    assert_eq!(says(&sh("echo 1"), &large).await, "done 1");
    assert_eq!(says(&sh("exec < /dev/null; sleep 0.1; echo 2"), &large).await, "done 2");
}

#[tokio::test]
async fn time_that_is_up_kills_the_command_and_everything_it_started() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = folder.path().join("pid");
    let handler = sh(&format!("sleep 1000 & echo $! > {}; wait", file.display()));
    let attempt = tokio::spawn(async move { says(&handler, "0").await });
    let pid = eventually("the command's child", Duration::from_secs(20), async || {
        fs::read_to_string(&file).ok().and_then(|text| text.trim().parse::<u32>().ok())
    });
    let pid = pid.await;
    assert!(runs(pid));
    // What a timeout does to the attempt.
    attempt.abort();
    eventually("the command's child to end", Duration::from_secs(20), async || !runs(pid)).await;
}

/// Whether a process runs; one that nobody waits for stays as a zombie, but does not.
pub fn runs(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

#[tokio::test]
async fn a_command_that_vanishes_later_is_tried_again() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let program = folder.path().join("answer");
    write_program(&program, "#!/bin/sh\necho 1\n");
    let handler = handler(&["--handler=exec", "--", program.to_str().expect("is UTF-8")]);
    assert_eq!(says(&handler, "0").await, "done 1");
    fs::remove_file(&program).expect("is removed");
    let said = says(&handler, "0").await;
    assert!(said.starts_with("again cannot start `"), "{said}");
}

pub fn write_program(path: &Path, text: &str) {
    fs::write(path, text).expect("is written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("is made executable");
}

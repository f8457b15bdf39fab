//! The program's options, as a person or an init container meets them.

use std::{os::unix::fs::PermissionsExt as _, process::Command};

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_warren-processor"));
    command.env_clear();
    command
}

#[test]
fn install_copies_the_program_executable_for_everybody() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let installed = program().arg("install").arg(folder.path()).status().expect("it runs");
    assert!(installed.success());
    let copy = folder.path().join("warren-processor");
    let mode = copy.metadata().expect("is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o755);
    let version = Command::new(copy).arg("--version").output().expect("the copy runs");
    assert!(String::from_utf8_lossy(&version.stdout).starts_with("warren-processor "));
}

#[test]
fn install_to_nowhere_says_what_to_check() {
    let refused = program().args(["install", "/no/such/folder/x"]).output().expect("it runs");
    let text = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && text.contains("/no/such/folder/x"), "{text}");
}

#[test]
fn help_names_every_option_with_its_variable() {
    let help = program().arg("--help").output().expect("it runs");
    let text = String::from_utf8_lossy(&help.stdout);
    for variable in [
        "AMQP_URL",
        "WARREN_EXCHANGE",
        "WARREN_HANDLER",
        "WARREN_CONCURRENCY",
        "WARREN_TIMEOUT",
        "WARREN_LISTEN",
        "WARREN_DEMO_DELAY",
        "WARREN_EXEC_COMMAND",
        "WARREN_EXEC_MODE",
        "WARREN_HTTP_URL",
        "WARREN_MAX_RESULT_BYTES",
        "WARREN_LOG",
    ] {
        assert!(text.contains(variable), "{variable} is missing in\n{text}");
    }
}

#[test]
fn help_does_not_show_the_password_in_the_handlers_address() {
    let help = program().env("WARREN_HTTP_URL", "http://user:s3cret@h/").arg("--help").output().expect("it runs");
    let text = String::from_utf8_lossy(&help.stdout);
    assert!(text.contains("WARREN_HTTP_URL") && !text.contains("s3cret"), "{text}");
}

#[test]
fn a_command_that_does_not_exist_is_refused_at_the_start_with_the_places_looked_at() {
    let options = ["--amqp-url=amqp://127.0.0.1:1", "--handler=exec", "--", "no-such-program"];
    let refused = program().env("PATH", "/usr/bin:/bin").args(options).output().expect("it runs");
    let text = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success(), "{text}");
    assert!(text.contains("`no-such-program` in PATH (/usr/bin:/bin)"), "{text}");
}

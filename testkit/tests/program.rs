//! Programs as child processes, with a shell for a program.

use std::{os::unix::process::ExitStatusExt, process::Command, time::Duration};
use warren_testkit::program::Program;

const SOON: Duration = Duration::from_secs(10);

fn shell(script: &str) -> Program {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    Program::start(command)
}

#[tokio::test]
async fn lines_of_both_outputs_are_found() {
    let mut program = shell("echo to stdout: one; echo to stderr: two >&2; exec sleep 600");
    assert_eq!(program.wait_for_line("two", SOON).await, "to stderr: two");
    assert_eq!(program.wait_for_line("one", SOON).await, "to stdout: one");
}

#[tokio::test]
async fn a_program_may_end_in_order_or_be_killed() {
    let mut program = shell("trap 'echo ending; exit 7' TERM; echo ready; while :; do sleep 0.01; done");
    program.wait_for_line("ready", SOON).await;
    program.terminate();
    assert_eq!(program.wait(SOON).await.code(), Some(7));
    assert!(program.output().ends_with("ending"), "{}", program.output());

    let mut program = shell("exec sleep 600");
    assert_eq!(program.exited(), None);
    assert_eq!(program.kill9().signal(), Some(9));
}

#[tokio::test]
#[should_panic(expected = "sh ended its output without a line with \"ready\"")]
async fn a_program_that_ends_early_is_not_waited_for_until_the_deadline() {
    shell("echo no").wait_for_line("ready", Duration::from_secs(600)).await;
}

#[tokio::test]
async fn a_dropped_program_is_gone() {
    let program = shell("exec sleep 600");
    let pid = program.pid();
    drop(program);
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
}

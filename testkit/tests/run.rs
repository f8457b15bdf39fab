//! The command line around a test run.

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{net::TcpStream, path::PathBuf, process::Command, time::Duration};
use warren_testkit::{eventually, program::Program};

const BOOT: Duration = Duration::from_secs(90);
const SOON: Duration = Duration::from_secs(10);

fn testkit(arguments: &[&str]) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_warren-testkit"));
    command.args(arguments).env_remove("WARREN_TEST_AMQP_URL").env_remove("WARREN_TEST_MANAGEMENT_URL");
    Program::start(command)
}

fn port(line: &str) -> u16 {
    let tail = line.rsplit_once(':').map(|(_, tail)| tail.trim_end_matches("/%2f"));
    tail.and_then(|port| port.parse().ok()).unwrap_or_else(|| panic!("no port at the end of {line:?}"))
}

async fn wait_until_refused(port: u16) {
    let refused = async || TcpStream::connect(("127.0.0.1", port)).is_err();
    eventually("the node to be gone", SOON, refused).await;
}

#[tokio::test]
async fn the_command_gets_the_addresses_and_its_status_is_passed_on() {
    let script = "echo amqp=$WARREN_TEST_AMQP_URL; echo api=$WARREN_TEST_MANAGEMENT_URL; exit 42";
    let mut run = testkit(&["run", "--", "sh", "-c", script]);
    let (amqp, api) = (run.wait_for_line("amqp=", BOOT).await, run.wait_for_line("api=", SOON).await);
    assert_eq!(run.wait(SOON).await.code(), Some(42));
    wait_until_refused(port(&amqp)).await;
    wait_until_refused(port(&api)).await;
}

#[tokio::test]
async fn a_killed_owner_leaves_no_node_and_no_directory_behind() {
    let mut run = testkit(&["run", "--", "sh", "-c", "echo amqp=$WARREN_TEST_AMQP_URL; echo pid=$$; exec sleep 600"]);
    let amqp = run.wait_for_line("amqp=", BOOT).await;
    let directory = directory_of(&run);
    assert!(directory.exists(), "{directory:?}");
    let command = run.wait_for_line("pid=", SOON).await;
    run.kill9();
    // Nobody else ends the command: only the servers are the owner's.
    kill(Pid::from_raw(command.trim_start_matches("pid=").parse().unwrap()), Signal::SIGKILL).unwrap();
    wait_until_refused(port(&amqp)).await;
    eventually("its directory to be gone", SOON, async || !directory.exists()).await;
}

#[tokio::test]
async fn a_wrong_command_line_is_answered_with_the_right_one() {
    let mut run = testkit(&["cargo", "test"]);
    run.wait_for_line("usage: warren-testkit run -- COMMAND", SOON).await;
    assert_eq!(run.wait(SOON).await.code(), Some(2));
}

fn directory_of(run: &Program) -> PathBuf {
    std::env::temp_dir().join(format!("warren-test-{}-0", run.pid()))
}

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
    command.args(arguments);
    for variable in ["WARREN_TEST_AMQP_URL", "WARREN_TEST_MANAGEMENT_URL", "WARREN_TEST_POSTGRES_URL"] {
        command.env_remove(variable);
    }
    Program::start(command)
}

fn port(line: &str) -> u16 {
    let tail = line.rsplit_once(':').map(|(_, tail)| tail.split('/').next().unwrap_or_default());
    tail.and_then(|port| port.parse().ok()).unwrap_or_else(|| panic!("no port at the end of {line:?}"))
}

async fn wait_until_refused(port: u16) {
    let refused = async || TcpStream::connect(("127.0.0.1", port)).is_err();
    eventually("the server to be gone", SOON, refused).await;
}

#[tokio::test]
async fn the_command_gets_the_addresses_and_its_status_is_passed_on() {
    let script = "echo amqp=$WARREN_TEST_AMQP_URL; echo api=$WARREN_TEST_MANAGEMENT_URL; \
        echo postgres=$WARREN_TEST_POSTGRES_URL; exit 42";
    let mut run = testkit(&["run", "--", "sh", "-c", script]);
    let mut ports = vec![port(&run.wait_for_line("amqp=", BOOT).await)];
    for name in ["api=", "postgres="] {
        ports.push(port(&run.wait_for_line(name, SOON).await));
    }
    assert_eq!(run.wait(SOON).await.code(), Some(42));
    for port in ports {
        wait_until_refused(port).await;
    }
}

#[tokio::test]
async fn without_management_there_is_no_address_of_it() {
    let script = "echo amqp=$WARREN_TEST_AMQP_URL; echo api=$WARREN_TEST_MANAGEMENT_URL.";
    let mut run = testkit(&["run", "--no-management", "--", "sh", "-c", script]);
    run.wait_for_line("amqp=amqp://", BOOT).await;
    run.wait_for_line("api=.", SOON).await;
    assert_eq!(run.wait(SOON).await.code(), Some(0));
}

#[tokio::test]
async fn a_killed_owner_leaves_no_server_and_no_directory_behind() {
    let script =
        "echo amqp=$WARREN_TEST_AMQP_URL; echo postgres=$WARREN_TEST_POSTGRES_URL; echo pid=$$; exec sleep 600";
    let mut run = testkit(&["run", "--", "sh", "-c", script]);
    let (amqp, postgres) = (run.wait_for_line("amqp=", BOOT).await, run.wait_for_line("postgres=", SOON).await);
    let directories = directories_of(&run);
    assert!(directories.iter().all(|directory| directory.exists()), "{directories:?}");
    let command = run.wait_for_line("pid=", SOON).await;
    run.kill9();
    // Nobody else ends the command: only the servers are the owner's.
    kill(Pid::from_raw(command.trim_start_matches("pid=").parse().unwrap()), Signal::SIGKILL).unwrap();
    wait_until_refused(port(&amqp)).await;
    wait_until_refused(port(&postgres)).await;
    for directory in directories {
        eventually("its directory to be gone", SOON, async || !directory.exists()).await;
    }
}

#[tokio::test]
async fn a_wrong_command_line_is_answered_with_the_right_one() {
    let mut run = testkit(&["cargo", "test"]);
    run.wait_for_line("usage: warren-testkit run [--no-management] -- COMMAND", SOON).await;
    assert_eq!(run.wait(SOON).await.code(), Some(2));
}

fn directories_of(run: &Program) -> [PathBuf; 2] {
    [0, 1].map(|number| std::env::temp_dir().join(format!("warren-test-{}-{number}", run.pid())))
}

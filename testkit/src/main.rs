//! `warren-testkit run [--no-management] -- COMMAND ARGS…` starts each server once, tells the command where they are, and
//! ends them.

use std::{
    env,
    ffi::OsString,
    io,
    os::unix::process::ExitStatusExt,
    process::{ExitCode, ExitStatus},
};
use tokio::{
    process::{Child, Command},
    signal::unix::{Signal, SignalKind, signal},
};
use warren_rabbitmq_node::{Node, NodeError, Settings};
use warren_testkit::{
    broker,
    postgres::{self, Server, ServerError},
};

const USAGE: &str = "usage: warren-testkit run [--no-management] -- COMMAND ARGS…\n\
    Starts RabbitMQ and PostgreSQL once, runs the command with their addresses in the environment, ends them, exits as \
    the command did.\n\
    --no-management  RabbitMQ without its management plugin, whose statistics take a core with thousands of queues";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Some((management, command)) = command_of(env::args_os().skip(1).collect()) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match run(management, &command).await {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("warren-testkit: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether with management, and the command.
fn command_of(mut arguments: Vec<OsString>) -> Option<(bool, Vec<OsString>)> {
    let command =
        arguments.iter().position(|argument| argument == "--").map(|dashes| arguments.split_off(dashes + 1))?;
    let options: Option<Vec<_>> = arguments.iter().map(|argument| argument.to_str()).collect();
    let management = match options?.as_slice() {
        ["run", "--"] => true,
        ["run", "--no-management", "--"] => false,
        _ => return None,
    };
    (!command.is_empty()).then_some((management, command))
}

/// Why the command did not run.
#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error("{0}")]
    Node(#[from] NodeError),
    #[error("{0}")]
    Server(#[from] ServerError),
    #[error("signals cannot be watched: {0}")]
    Signals(io::Error),
    #[error("{command:?} does not run: {source}. Is it in PATH?")]
    Command { command: OsString, source: io::Error },
}

async fn run(management: bool, command: &[OsString]) -> Result<u8, RunError> {
    let mut signals = Signals::watch().map_err(RunError::Signals)?;
    let started = tokio::select! {
        started = Servers::start(management) => started?,
        code = signals.first() => return Ok(code),
    };
    let mut child = spawn(command, &started)?;
    let status = signals.pass_on_until_exit(&mut child).await;
    // Not in order: they are removed with everything they hold.
    drop(started);
    status.map(code).map_err(|source| RunError::Command { command: command[0].clone(), source })
}

/// What the command's tests share. An outer run, or the user, may have named one already.
struct Servers {
    broker: Option<Node>,
    postgres: Option<Server>,
}

impl Servers {
    async fn start(management: bool) -> Result<Self, RunError> {
        let is_named = |variable| env::var_os(variable).is_some_and(|url| !url.is_empty());
        let broker = async {
            let settings = Settings { management, ..broker::private_settings() };
            if is_named(broker::AMQP_URL) { Ok(None) } else { Node::start(settings).await.map(Some) }
        };
        let postgres =
            async { if is_named(postgres::POSTGRES_URL) { Ok(None) } else { Server::start().await.map(Some) } };
        let (broker, postgres) = tokio::join!(broker, postgres);
        Ok(Self { broker: broker?, postgres: postgres? })
    }
}

fn spawn(command: &[OsString], servers: &Servers) -> Result<Child, RunError> {
    let mut child = Command::new(&command[0]);
    child.args(&command[1..]).kill_on_drop(true);
    if let Some(node) = &servers.broker {
        child.env(broker::AMQP_URL, node.url());
        child.env(broker::MANAGEMENT_URL, node.management_url().unwrap_or_default());
    }
    if let Some(server) = &servers.postgres {
        child.env(postgres::POSTGRES_URL, server.url());
    }
    child.spawn().map_err(|source| RunError::Command { command: command[0].clone(), source })
}

/// As shells report it.
fn code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

/// The signals that would end this program before its servers.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn watch() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for one, and gives the exit code that tells of it.
    async fn first(&mut self) -> u8 {
        tokio::select! {
            _ = self.interrupt.recv() => 130,
            _ = self.terminate.recv() => 143,
        }
    }

    /// Ctrl-C reaches the command from the terminal, so here it is only kept from ending us first; SIGTERM comes to us
    /// alone and is passed on.
    async fn pass_on_until_exit(&mut self, child: &mut Child) -> io::Result<ExitStatus> {
        loop {
            tokio::select! {
                status = child.wait() => return status,
                _ = self.interrupt.recv() => {}
                _ = self.terminate.recv() => terminate(child),
            }
        }
    }
}

fn terminate(child: &Child) {
    if let Some(pid) = child.id() {
        // It can only fail because the command has just ended.
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid.cast_signed()), nix::sys::signal::SIGTERM);
    }
}

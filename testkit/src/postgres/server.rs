//! A PostgreSQL as a child process, on a free port, in a directory of its own.

use super::{ServerError, install};
use crate::scratch;
use sqlx::{Connection as _, PgConnection};
use std::{
    fs::{self, File},
    io,
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};
use tokio::time::{Instant, sleep};
use warren_rabbitmq_node::free_port;

/// Runs the server until the pipe from its owner ends, which the system closes however the owner dies. A word through
/// the pipe keeps the directory.
const GUARD: &str = r#"
directory=$1; shift
"$@" </dev/null & server=$!
read -r keep
kill -s KILL "$server" 2>/dev/null
wait "$server"
[ -n "$keep" ] && exit 0
for attempt in 1 2 3 4 5 6 7 8 9 10; do rm -rf -- "$directory" && exit 0; sleep 0.2; done
"#;

/// How long it may take to start on a busy machine.
const BOOT: Duration = Duration::from_secs(60);
/// A killed server's processes hold its memory for a moment longer.
const ATTEMPTS: usize = 20;
/// What it says before it ends by itself.
const GIVEN_UP: [&str; 3] = ["FATAL:  lock file", "FATAL:  pre-existing", "database system is shut down"];

/// The user of the server's address, who may do everything.
const USER: &str = "warren";
/// Its password.
const PASSWORD: &str = "pass-w0rd";

/// A running server. Dropping it removes it with all it holds.
#[derive(Debug)]
pub struct Server {
    directory: PathBuf,
    port: u16,
    user: Option<(u32, u32)>,
    programs: PathBuf,
    guard: Option<Child>,
}

impl Server {
    /// Starts one and waits until it answers.
    ///
    /// # Errors
    /// See [`ServerError`].
    pub async fn start() -> Result<Self, ServerError> {
        let (programs, directory) = (install::programs()?, scratch::directory());
        fs::create_dir(&directory).map_err(unusable(&directory))?;
        let user = install::runs_as(&directory)?;
        if let Some((user, group)) = user {
            chown(&directory, Some(user), Some(group)).map_err(unusable(&directory))?;
        }
        let mut server = Self { directory, port: free_port(), user, programs, guard: None };
        server.initialise()?;
        server.start_again().await.map(|()| server)
    }

    /// Starts it again, on the same port and data.
    ///
    /// # Errors
    /// See [`ServerError`].
    pub async fn start_again(&mut self) -> Result<(), ServerError> {
        for _ in 0..ATTEMPTS {
            self.end("keep\n");
            let log_start = self.log_text().len();
            self.guard = Some(self.spawn()?);
            if self.is_up(log_start).await {
                return Ok(());
            }
            sleep(Duration::from_millis(200)).await;
        }
        Err(self.failed("start"))
    }

    /// Kills it (`kill -9`).
    ///
    /// # Panics
    /// When it does not run.
    pub fn kill(&mut self) {
        let file = fs::read_to_string(self.data().join("postmaster.pid")).expect("a running server has noted its id");
        let pid = file.lines().next().and_then(|pid| pid.parse().ok()).expect("the first line is the id");
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::SIGKILL);
        self.end("keep\n");
    }

    /// Its address, with a user who may do everything, and the database `postgres`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://{USER}:{PASSWORD}@{}/postgres", self.address())
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Writes all that is in the database `postgres` to a file, as SQL.
    ///
    /// # Errors
    /// See [`ServerError`].
    pub fn dump(&self, file: &Path) -> Result<(), ServerError> {
        let output = File::create(file).map_err(unusable(file))?;
        let done = self.command("pg_dump").arg(self.url()).stdout(output).status().map_err(unusable(&self.programs))?;
        if done.success() { Ok(()) } else { Err(self.failed("write its data out")) }
    }

    fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    fn initialise(&self) -> Result<(), ServerError> {
        let password = self.directory.join("password");
        fs::write(&password, PASSWORD).map_err(unusable(&password))?;
        let mut command = self.command("initdb");
        command.args(["--no-sync", "--encoding=UTF8", "--locale=C.UTF-8", "--auth=scram-sha-256"]);
        command.args(["--username", USER]).arg("--pwfile").arg(&password).arg("--pgdata").arg(self.data());
        let done = command.status().map_err(unusable(&self.programs))?;
        if done.success() { Ok(()) } else { Err(self.failed("initialise its data")) }
    }

    /// Without fsync: tests kill processes, not machines.
    fn spawn(&self) -> Result<Child, ServerError> {
        let mut command = self.command("/bin/sh");
        command.args(["-c", GUARD, "warren-postgres-guard"]).arg(&self.directory);
        command.arg(self.programs.join("postgres")).arg("-D").arg(self.data());
        let port = self.port.to_string();
        for setting in [
            &format!("port={port}"),
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "fsync=off",
            "max_connections=200",
            "shared_buffers=64MB",
        ] {
            command.args(["-c", setting]);
        }
        command.stdin(Stdio::piped()).process_group(0).spawn().map_err(unusable(&self.programs))
    }

    /// One of PostgreSQL's programs, or another with its path, as the user who may run it, writing to the log.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
        let log = || File::options().create(true).append(true).open(self.log()).map_or(Stdio::null(), Stdio::from);
        command.stdin(Stdio::null()).stdout(log()).stderr(log()).current_dir("/").env("LC_ALL", "C.UTF-8");
        command
    }

    /// Waits until it answers, or has given up, as its log tells from this place on.
    async fn is_up(&self, log_start: usize) -> bool {
        let deadline = Instant::now() + BOOT;
        while Instant::now() < deadline {
            if PgConnection::connect(&self.url()).await.is_ok() {
                return true;
            }
            let log = self.log_text();
            if GIVEN_UP.iter().any(|words| log[log_start.min(log.len())..].contains(words)) {
                return false;
            }
            sleep(Duration::from_millis(20)).await;
        }
        false
    }

    /// Ends it, if it runs, and says what is to become of the directory.
    fn end(&mut self, word: &str) {
        let Some(mut guard) = self.guard.take() else { return };
        if let Some(mut pipe) = guard.stdin.take() {
            let _ = io::Write::write_all(&mut pipe, word.as_bytes());
        }
        let _ = guard.wait();
    }

    fn log(&self) -> PathBuf {
        self.directory.join("log")
    }

    fn log_text(&self) -> String {
        fs::read(self.log()).map(|log| String::from_utf8_lossy(&log).into_owned()).unwrap_or_default()
    }

    fn failed(&self, what: &'static str) -> ServerError {
        let log = self.log_text();
        let lines: Vec<_> = log.lines().collect();
        ServerError::Failed { what, tail: lines[lines.len().saturating_sub(25)..].join("\n") }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end("");
        // Where it was killed before, nobody else does.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn unusable(path: &Path) -> impl FnOnce(io::Error) -> ServerError + use<> {
    let path = path.to_owned();
    move |source| ServerError::Unusable { path, source }
}

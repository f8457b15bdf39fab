//! The directory that `local` keeps from run to run, and the list of processes it has started: what a killed run
//! left behind is ended by the next one, with all that came from it.

use super::mark;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// How long a left-over process may take to end when it is asked to.
const LEFTOVER_GRACE: Duration = Duration::from_secs(10);

/// Why the directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WorkspaceError {
    /// It cannot be made or written to.
    #[error("cannot use the directory {path}: it must be creatable and writable; choose another with --directory")]
    Unusable {
        /// Which.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Another run has it.
    #[error(
        "another `warren-operator local` uses the directory {path}: end that one, or choose another with --directory"
    )]
    Taken {
        /// Which.
        path: PathBuf,
    },
}

/// The directory. Clones share it; it is free again when the last one is gone.
#[derive(Clone, Debug)]
pub struct Workspace {
    path: PathBuf,
    // Held, not read: the lock lives as long as the file is open.
    _lock: Arc<File>,
}

impl Workspace {
    /// Opens the directory for this run alone, and ends what an earlier run left running.
    ///
    /// # Errors
    /// See [`WorkspaceError`].
    pub async fn open(path: &Path) -> Result<Self, WorkspaceError> {
        let refuse = |source| WorkspaceError::Unusable { path: path.to_owned(), source };
        std::fs::create_dir_all(path).map_err(refuse)?;
        let path = path.canonicalize().map_err(refuse)?;
        let lock = OpenOptions::new().create(true).append(true).open(path.join("lock")).map_err(refuse)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(WorkspaceError::Taken { path }),
            Err(TryLockError::Error(source)) => return Err(refuse(source)),
        }
        let workspace = Self { path, _lock: Arc::new(lock) };
        workspace.end_leftovers().await;
        Ok(workspace)
    }

    /// Where a volume of a pipeline is.
    #[must_use]
    pub fn volume(&self, claim: &str) -> PathBuf {
        self.path.join("volumes").join(claim)
    }

    /// Where our own RabbitMQ is.
    #[must_use]
    pub fn rabbitmq(&self) -> PathBuf {
        self.path.join("rabbitmq")
    }

    /// The directory itself, for messages.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Notes a process, so that the next run can end it if this one is killed. Failing to is no reason not to run.
    pub fn note(&self, pid: u32) {
        let Some(started) = started_at(pid) else { return };
        let list = OpenOptions::new().create(true).append(true).open(self.list());
        // In one write: `writeln!` makes several of a line, and those of two processes would get mixed up.
        let line = format!("{pid} {started}\n");
        if let Err(error) = list.and_then(|mut list| list.write_all(line.as_bytes())) {
            tracing::debug!(%error, pid, "cannot note a process");
        }
    }

    fn list(&self) -> PathBuf {
        self.path.join("processes")
    }

    async fn end_leftovers(&self) {
        let text = std::fs::read_to_string(self.list()).unwrap_or_default();
        let leftovers: Vec<_> = text.lines().filter_map(running).collect();
        if !leftovers.is_empty() {
            tracing::warn!(processes = leftovers.len(), "ending what an earlier run left behind");
        }
        for pid in &leftovers {
            let _ = kill(*pid, Signal::SIGTERM);
        }
        let deadline = tokio::time::Instant::now() + LEFTOVER_GRACE;
        while text.lines().any(|line| running(line).is_some()) && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        for pid in text.lines().filter_map(running) {
            let _ = kill(pid, Signal::SIGKILL);
        }
        let strays = mark::end_all_of(&self.path).await;
        if strays > 0 {
            tracing::warn!(processes = strays, "ended what the processes of an earlier run had started");
        }
        let _ = std::fs::remove_file(self.list());
    }
}

/// The process of a line, if it still is the one that was noted: numbers are used again, start times are not.
fn running(line: &str) -> Option<Pid> {
    let (pid, started) = line.split_once(' ')?;
    let pid: u32 = pid.parse().ok()?;
    let same = started_at(pid)? == started;
    same.then(|| i32::try_from(pid).ok().map(Pid::from_raw)).flatten()
}

/// When a process started, in the kernel's clock ticks since boot: field 22 of `/proc/<pid>/stat`. `None` where
/// there is no such process, or only its remains.
fn started_at(pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses, which may itself contain spaces and parentheses.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    let state = fields.next()?;
    if state == "Z" { None } else { fields.nth(18).map(str::to_owned) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_directory_serves_one_run_at_a_time() {
        let directory = tempfile::tempdir().expect("a directory");
        let first = Workspace::open(directory.path()).await.expect("is free");
        let refusal = Workspace::open(directory.path()).await.expect_err("is taken").to_string();
        assert!(refusal.contains("--directory"), "{refusal}");
        drop(first);
        Workspace::open(directory.path()).await.expect("is free again");
    }

    #[tokio::test]
    async fn what_a_killed_run_left_behind_is_ended() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut child = std::process::Command::new("sleep").arg("600").spawn().expect("sleep starts");
        let workspace = Workspace::open(directory.path()).await.expect("is free");
        workspace.note(child.id());
        drop(workspace);
        let waiting = tokio::task::spawn_blocking(move || child.wait());
        Workspace::open(directory.path()).await.expect("is free");
        let status = tokio::time::timeout(Duration::from_secs(5), waiting).await.expect("ended").expect("joined");
        assert!(!status.expect("has a status").success());
    }

    #[tokio::test]
    async fn what_is_noted_at_the_same_moment_keeps_a_line_each() {
        const THREADS: usize = 8;
        const EACH: usize = 200;
        let directory = tempfile::tempdir().expect("a directory");
        let workspace = Workspace::open(directory.path()).await.expect("is free");
        let own = std::process::id();
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| (0..EACH).for_each(|_| workspace.note(own)));
            }
        });
        let noted = std::fs::read_to_string(workspace.list()).expect("is written");
        assert_eq!(noted.lines().filter(|line| running(line).is_some()).count(), THREADS * EACH);
    }

    #[test]
    fn a_number_that_another_process_got_since_is_left_alone() {
        assert_eq!(running(&format!("{} 1", std::process::id())), None);
    }
}

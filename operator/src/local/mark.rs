//! A variable that everything inherits which one of our processes starts. A command may have left its process group, or
//! lost its parent: by the mark it is found all the same.

use super::workspace::Workspace;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    ffi::OsString,
    fs,
    os::unix::ffi::OsStrExt as _,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

const VARIABLE: &str = "WARREN_LOCAL_PROCESS";
/// How often it is looked for those that are left: what dies may just have started another.
const LOOKS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(20);

/// The mark of one start of one process.
#[derive(Clone, Debug)]
pub struct Mark(OsString);

impl Mark {
    /// Another one than every other of this run.
    #[must_use]
    pub fn new(workspace: &Workspace, name: &str) -> Self {
        static STARTS: AtomicU64 = AtomicU64::new(0);
        let start = STARTS.fetch_add(1, Ordering::Relaxed);
        let mut value = of_directory(workspace.path());
        value.push(format!("{start} {name}"));
        Self(value)
    }

    /// The variable, and its value.
    #[must_use]
    pub fn variable(&self) -> (&'static str, &OsString) {
        (VARIABLE, &self.0)
    }

    /// Kills everything that has it.
    pub async fn end_all(&self) {
        let wanted = self.0.clone();
        end_all(move |value| value == wanted.as_bytes()).await;
    }
}

/// Kills what any process of a run in this directory has started. Returns about how many there were.
pub async fn end_all_of(directory: &Path) -> usize {
    let wanted = of_directory(directory);
    end_all(move |value| value.starts_with(wanted.as_bytes())).await
}

/// What the marks of a directory begin with. Two slashes end it, for a path has none within.
fn of_directory(directory: &Path) -> OsString {
    let mut value = directory.as_os_str().to_owned();
    value.push("//");
    value
}

async fn end_all(is_wanted: impl Fn(&[u8]) -> bool + Clone + Send + 'static) -> usize {
    let mut most = 0;
    for _ in 0..LOOKS {
        let is_wanted = is_wanted.clone();
        let found = tokio::task::spawn_blocking(move || kill_marked(is_wanted)).await.unwrap_or(0);
        if found == 0 {
            break;
        }
        most = most.max(found);
        tokio::time::sleep(PAUSE).await;
    }
    most
}

/// Returns how many it has found. What may not be read is not ours, and what has ended has no variables any more.
fn kill_marked(is_wanted: impl Fn(&[u8]) -> bool) -> usize {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let others = ids.filter(|id| u32::try_from(*id) != Ok(std::process::id()));
    let marked = others.filter(|id| mark_of(*id).is_some_and(|value| is_wanted(&value)));
    marked.filter(|id| kill(Pid::from_raw(*id), Signal::SIGKILL).is_ok()).count()
}

fn mark_of(id: i32) -> Option<Vec<u8>> {
    let environment = fs::read(format!("/proc/{id}/environ")).ok()?;
    let mut variables = environment.split(|byte| *byte == 0);
    let value = variables.find_map(|variable| variable.strip_prefix(VARIABLE.as_bytes())?.strip_prefix(b"="))?;
    Some(value.to_owned())
}

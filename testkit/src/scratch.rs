//! Directories of tests, named after their process, so that those of killed test runs can be told and removed.

use nix::{errno::Errno, sys::signal::kill, unistd::Pid};
use std::{
    env, fs,
    path::PathBuf,
    process,
    sync::{
        Once,
        atomic::{AtomicU32, Ordering},
    },
};

const PREFIX: &str = "warren-test-";

/// A path for a directory that does not exist yet.
pub(crate) fn directory() -> PathBuf {
    static SWEEP: Once = Once::new();
    static COUNT: AtomicU32 = AtomicU32::new(0);
    SWEEP.call_once(sweep);
    env::temp_dir().join(format!("{PREFIX}{}-{}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed)))
}

/// Removes the directories of processes that are gone. Those of other users stay: theirs to remove.
fn sweep() {
    let Ok(entries) = fs::read_dir(env::temp_dir()) else { return };
    for entry in entries.filter_map(Result::ok) {
        if owner(&entry.file_name().to_string_lossy()).is_some_and(is_gone) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn owner(name: &str) -> Option<i32> {
    let (pid, _count) = name.strip_prefix(PREFIX)?.split_once('-')?;
    pid.parse().ok().filter(|pid| *pid > 0)
}

fn is_gone(pid: i32) -> bool {
    kill(Pid::from_raw(pid), None) == Err(Errno::ESRCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_of_a_directory_is_read_from_its_name() {
        assert_eq!(owner("warren-test-4711-0"), Some(4711));
        assert_eq!(owner("warren-test-0-0"), None, "process 0 means every process of the group");
        assert_eq!(owner("warren-testing"), None);
    }

    #[test]
    fn a_directory_of_a_process_that_is_gone_is_swept_and_one_of_a_living_process_is_not() {
        let mut child = process::Command::new("true").spawn().expect("`true` is installed");
        let gone = env::temp_dir().join(format!("{PREFIX}{}-0", child.id()));
        let living = env::temp_dir().join(format!("{PREFIX}{}-sweep", process::id()));
        child.wait().expect("a child can be waited for");
        fs::create_dir_all(gone.join("data")).expect("the temporary directory is writable");
        fs::create_dir_all(&living).expect("the temporary directory is writable");
        sweep();
        assert!(!gone.exists());
        assert!(living.exists());
        fs::remove_dir(&living).expect("it is empty");
    }
}

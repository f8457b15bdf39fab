//! The processes below another one, as Linux tells of them in `/proc`.

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

/// The living processes below `root` whose program's path ends with `/program`, in the order of their ids.
#[must_use]
pub fn below(root: u32, program: &str) -> Vec<u32> {
    let parents: BTreeMap<u32, u32> = all().filter_map(|pid| Some((pid, parent(pid)?))).collect();
    let mut family = BTreeSet::from([root]);
    // Children may have lower ids than their parents: as often as there is somebody new.
    loop {
        let before = family.len();
        let children = parents.iter().filter(|(_, parent)| family.contains(parent)).map(|(pid, _)| *pid);
        let children: Vec<u32> = children.collect();
        family.extend(children);
        if family.len() == before {
            break;
        }
    }
    family.into_iter().filter(|pid| runs(*pid, program)).collect()
}

/// Sends a signal; nothing happens if the process has ended.
pub fn signal(pid: u32, signal: Signal) {
    let _ = kill(Pid::from_raw(pid.cast_signed()), signal);
}

/// Resident memory in MiB; `None` when the process has ended.
#[must_use]
pub fn memory(pid: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes / 1024.0)
}

fn all() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// `None` when the process has ended, or only its remains are there.
fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // After the name in parentheses: state, parent.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    (fields.next()? != "Z").then_some(())?;
    fields.next()?.parse().ok()
}

fn runs(pid: u32, program: &str) -> bool {
    let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let word = command.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(word).rsplit('/').next() == Some(program)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use warren_testkit::eventually;

    #[tokio::test]
    async fn a_child_is_found_below_its_parent_and_its_memory_is_known() {
        let mut child =
            tokio::process::Command::new("sleep").arg("600").kill_on_drop(true).spawn().expect("sleep starts");
        let id = child.id().expect("it was not waited for");
        // The kernel says that a program has begun a moment before it shows its command line.
        eventually("the child to be found", Duration::from_secs(20), async || {
            let found = below(std::process::id(), "sleep");
            if found.contains(&id) { Ok(()) } else { Err(format!("{found:?}")) }
        })
        .await;
        assert!(memory(id).is_some());
        signal(id, Signal::SIGKILL);
        child.wait().await.expect("ends");
        assert!(!below(std::process::id(), "sleep").contains(&id));
    }
}

//! Where PostgreSQL is installed, and who may run it.

use super::{PROGRAMS, ServerError};
use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// The folder of `postgres` and `initdb`. Debian keeps them out of `PATH`, in a folder per version.
pub(super) fn programs() -> Result<PathBuf, ServerError> {
    let named = env::var_os(PROGRAMS).map(PathBuf::from).into_iter();
    let path = env::var_os("PATH").unwrap_or_default();
    let mut candidates = named.chain(packaged()).chain(env::split_paths(&path));
    candidates.find(|folder| folder.join("postgres").is_file()).ok_or(ServerError::NotInstalled)
}

/// The newest version first.
fn packaged() -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir("/usr/lib/postgresql") else { return Vec::new() };
    let version = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    let mut folders: Vec<_> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    folders.sort_by_key(|path| std::cmp::Reverse(version(path)));
    folders.into_iter().map(|folder| folder.join("bin")).collect()
}

/// User and group to run as, where we are root, as whom PostgreSQL refuses to run.
pub(super) fn runs_as(directory: &Path) -> Result<Option<(u32, u32)>, ServerError> {
    use std::os::unix::fs::MetadataExt as _;
    let unusable = |source| ServerError::Unusable { path: directory.to_owned(), source };
    if fs::metadata(directory).map_err(unusable)?.uid() != 0 {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let found = ["postgres", "nobody"].into_iter().find_map(|name| ids(&users, name));
    found.ok_or(ServerError::NobodyElse).map(Some)
}

fn ids(users: &str, name: &str) -> Option<(u32, u32)> {
    let fields = users.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| fields[0] == name)?;
    Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_name() {
        let users = "root:x:0:0:root:/root:/bin/sh\npostgres:x:104:106::/var/lib/postgresql:/bin/bash\n";
        assert_eq!(ids(users, "postgres"), Some((104, 106)));
        assert_eq!(ids(users, "nobody"), None);
    }
}

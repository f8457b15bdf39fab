//! Copies this program to where another container finds it.
//!
//! An init container of Warren's image copies the worker into a volume, and the user's own image runs it from
//! there, beside the command that it is to run.

use std::{
    env, fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

/// Why the program was not copied.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The running program cannot be found.
    #[error("cannot find out where this program is")]
    Itself(#[source] io::Error),
    /// Nowhere to write.
    #[error("cannot install to {path}: check that the folder exists and can be written")]
    Write {
        /// Where it was to go.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

/// Copies this program to `path` (a file, or a folder to put it into), executable for everybody. Returns where
/// it is.
///
/// # Errors
/// See [`InstallError`].
pub fn install(path: &Path) -> Result<PathBuf, InstallError> {
    let itself = env::current_exe().map_err(InstallError::Itself)?;
    let target = if path.is_dir() { path.join("warren-processor") } else { path.to_owned() };
    copy(&itself, &target).map_err(|source| InstallError::Write { path: target.clone(), source })?;
    Ok(target)
}

/// Under another name first: the target is there whole or not at all, and one that runs already can be replaced.
fn copy(from: &Path, target: &Path) -> io::Result<()> {
    let mut unfinished = target.as_os_str().to_owned();
    unfinished.push(".unfinished");
    fs::copy(from, &unfinished)?;
    fs::set_permissions(&unfinished, fs::Permissions::from_mode(0o755))?;
    fs::rename(&unfinished, target)
}

//! The programs of the commit before, for tests that run them beside today's.

use std::{env, path::PathBuf};

/// The environment variable with the folder that `scripts/previous-build` printed.
pub const PREVIOUS: &str = "WARREN_TEST_PREVIOUS";

/// The folder of the programs of the commit before, or `None`, said once per caller, where there is none.
///
/// # Panics
/// In CI, where nothing may be left out.
#[must_use]
pub fn programs() -> Option<PathBuf> {
    let folder = env::var_os(PREVIOUS).filter(|path| !path.is_empty());
    assert!(folder.is_some() || env::var_os("CI").is_none(), "{PREVIOUS} is not set, and CI leaves nothing out");
    if folder.is_none() {
        eprintln!(
            "left out: needs programs of the commit before; set {PREVIOUS} to what scripts/previous-build prints"
        );
    }
    folder.map(PathBuf::from)
}

//! Resident memory of what is under test.

use crate::{local::Local, processes};
use std::fmt;

/// In MiB.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// The web service.
    pub web: f64,
    /// The largest processor.
    pub processor: f64,
    /// `local` itself.
    pub local: f64,
}

impl Memory {
    /// Now.
    #[must_use]
    pub fn of(local: &Local) -> Self {
        let largest = |pids: Vec<u32>| pids.into_iter().filter_map(processes::memory).fold(0.0, f64::max);
        Self { web: largest(local.web()), processor: largest(local.processors()), local: largest(vec![local.pid()]) }
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "web {:.1}, processor {:.1}, local {:.1} MiB", self.web, self.processor, self.local)
    }
}

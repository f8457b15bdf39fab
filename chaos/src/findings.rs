//! What must not have happened, as it is found.

use std::sync::{Mutex, PoisonError};

/// Of each campaign at most so many are printed in full.
const SHOWN: usize = 40;

/// Violations. Clones of the reference share them.
#[derive(Debug, Default)]
pub struct Findings(Mutex<Vec<String>>);

impl Findings {
    /// Notes one, and prints it.
    pub fn note(&self, violation: impl Into<String>) {
        let violation = violation.into();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() < SHOWN {
            crate::say!("VIOLATION: {violation}");
        }
        all.push(violation);
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

//! By what two JSON values are told apart without keeping them.

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::fmt;

/// The first half of a value's SHA-256; shown in hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest([u8; 16]);

impl Digest {
    /// That of `value`.
    #[must_use]
    pub fn of(value: &Value) -> Self {
        let mut half = [0; 16];
        half.copy_from_slice(&Sha256::digest(value.to_string())[..16]);
        Self(half)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

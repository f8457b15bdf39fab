//! The pipeline file, read now and again when it changes.

use crate::manifest::{self, Manifest, Refusals};
use std::{path::PathBuf, time::Duration};

/// How often the file is looked at. Reading a small file is cheaper than the surprises of file events: editors
/// write, rename and replace in many ways.
const LOOK: Duration = Duration::from_millis(500);

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct SourceError(#[from] Refusals);

/// The file, and what it said when it was read last.
pub struct Source {
    file: PathBuf,
    last: Option<Vec<u8>>,
}

impl Source {
    /// A file that was not read yet.
    #[must_use]
    pub fn new(file: PathBuf) -> Self {
        Self { file, last: None }
    }

    /// Reads and checks it.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn read(&mut self) -> Result<Manifest, SourceError> {
        self.last = std::fs::read(&self.file).ok();
        Ok(manifest::read(std::slice::from_ref(&self.file))?)
    }

    /// Waits until it says something else, and reads that. A file that is away for a moment, as while an editor
    /// replaces it, is waited for.
    ///
    /// # Errors
    /// Everything that is wrong with what it says now.
    pub async fn changed(&mut self) -> Result<Manifest, SourceError> {
        loop {
            tokio::time::sleep(LOOK).await;
            let now = std::fs::read(&self.file).ok();
            if now.is_some() && now != self.last {
                return self.read();
            }
        }
    }
}

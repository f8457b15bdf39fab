//! How much work was done more than once, from the handlers' notes.

use anyhow::Context as _;
use std::{
    collections::HashMap,
    fs::File,
    io::{BufRead as _, BufReader},
    path::Path,
};

/// What handlers did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Redone {
    /// Attempts that were begun.
    pub begun: usize,
    /// Of these, such as had been begun before: the same attempt of the same request.
    pub again: usize,
}

/// Reads lines `id attempt pid`.
///
/// # Errors
/// There is no such file.
pub fn count(notes: &Path) -> anyhow::Result<Redone> {
    let file = File::open(notes).with_context(|| notes.display().to_string())?;
    let mut times: HashMap<String, usize> = HashMap::new();
    for line in BufReader::new(file).lines() {
        let line = line?;
        let attempt = line.rsplit_once(' ').map_or(line.as_str(), |(attempt, _)| attempt);
        *times.entry(attempt.to_owned()).or_default() += 1;
    }
    let begun = times.values().sum();
    Ok(Redone { begun, again: begun - times.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_attempt_of_the_same_request_is_done_again() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "a 1 10\na 2 10\na 1 11\nb 1 10\n").expect("is written");
        assert_eq!(count(file.path()).expect("reads"), Redone { begun: 4, again: 1 });
    }
}

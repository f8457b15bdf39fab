//! A command in an environment variable.

use std::str::FromStr;

/// Program and arguments, written as a JSON array: no quoting rules of a shell to get wrong.
#[derive(Clone, Debug)]
pub(super) struct Words(pub(super) Vec<String>);

/// A text that is no JSON array of texts.
#[derive(Debug, thiserror::Error)]
#[error("a command is a JSON array of texts, such as [\"python3\", \"resize.py\"]: {0}")]
pub(super) struct NotWords(serde_json::Error);

impl FromStr for Words {
    type Err = NotWords;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        serde_json::from_str(text).map(Self).map_err(NotWords)
    }
}

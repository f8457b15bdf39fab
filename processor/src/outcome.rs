//! What a handler answers.

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use std::{fmt::Display, time::Duration};

/// How an attempt ended.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It worked: this is the result.
    Done(Box<RawValue>),
    /// It failed for now: try again later, while attempts last.
    Again {
        /// What went wrong, for whoever reads the record.
        error: String,
        /// The shortest pause worth waiting, if known; rounded up to a retry queue's delay.
        retry_after: Option<Duration>,
    },
    /// It failed, and would fail again: the request goes to the dead letters at once.
    Never {
        /// What went wrong, for whoever reads the record.
        error: String,
    },
}

impl Outcome {
    /// Done, with a result that becomes JSON. A value that cannot become JSON (a map whose keys are no texts)
    /// is a failure for good.
    pub fn done<T: Serialize + ?Sized>(result: &T) -> Self {
        match to_raw_value(result) {
            Ok(json) => Self::Done(json),
            Err(error) => Self::never(format_args!("the result cannot be written as JSON: {error}")),
        }
    }

    /// Failed for now.
    pub fn again(error: impl Display) -> Self {
        Self::Again { error: error.to_string(), retry_after: None }
    }

    /// Failed for good.
    pub fn never(error: impl Display) -> Self {
        Self::Never { error: error.to_string() }
    }
}

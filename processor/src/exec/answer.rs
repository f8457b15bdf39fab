//! What a command's exit and output mean.

use super::last_words::LastWords;
use crate::{Outcome, excerpt};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::{os::unix::process::ExitStatusExt as _, process::ExitStatus};
use warren_messaging::message;

/// `EX_TEMPFAIL` of sysexits.h: the caller is invited to try again.
const TRY_AGAIN: i32 = 75;
/// The way out for a result that is too large.
pub(super) const MOVED: &str = "store it elsewhere and answer where, or raise WARREN_MAX_RESULT_BYTES";

/// What a command that ended by itself means.
pub(super) fn judge(status: ExitStatus, stdout: &[u8], words: &LastWords) -> Outcome {
    match (status.code(), status.signal()) {
        (Some(0), _) => result(stdout, words),
        (Some(TRY_AGAIN), _) => Outcome::again(words.after("the command asked to be tried again (exit code 75)")),
        (Some(code), _) => Outcome::never(words.after(&format!("the command failed with exit code {code}"))),
        // Killed from outside, mostly for want of memory: that may pass.
        (None, signal) => {
            let signal = signal.unwrap_or_default();
            Outcome::again(words.after(&format!("the command was killed by signal {signal}")))
        }
    }
}

fn result(stdout: &[u8], words: &LastWords) -> Outcome {
    match serde_json::from_slice::<&RawValue>(stdout) {
        Ok(json) => Outcome::Done(json.to_owned()),
        Err(error) => {
            let shown = excerpt::beginning(stdout);
            Outcome::never(words.after(&format!("the command's output is no JSON ({error}), it begins {shown}")))
        }
    }
}

/// A line that a streaming command answers.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    error: Option<String>,
    #[serde(default)]
    retry: bool,
}

/// A result of `null` is a result.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// What a line means, or `None` when it is no answer.
pub(super) fn read_line(line: &[u8]) -> Option<Outcome> {
    let line: Line<'_> = message::read(line).ok()?;
    match (line.result, line.error) {
        (Some(result), None) => Some(Outcome::Done(result.to_owned())),
        (None, Some(error)) if line.retry => Some(Outcome::again(error)),
        (None, Some(error)) => Some(Outcome::never(error)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn short(outcome: Option<Outcome>) -> String {
        match outcome {
            Some(Outcome::Done(json)) => format!("done {}", json.get()),
            Some(Outcome::Again { error, .. }) => format!("again {error}"),
            Some(Outcome::Never { error }) => format!("never {error}"),
            None => "no answer".into(),
        }
    }

    fn exited(code: i32, stdout: &[u8]) -> String {
        short(Some(judge(ExitStatus::from_raw(code << 8), stdout, &LastWords::default())))
    }

    #[test]
    fn lines_are_results_or_errors() {
        for (line, meaning) in [
            (r#"{"result":{"a":1}}"#, r#"done {"a":1}"#),
            (r#"{"result":null}"#, "done null"),
            (r#"{"error":"busy","retry":true}"#, "again busy"),
            (r#"{"error":"bad","retry":false}"#, "never bad"),
            (r#"{"error":"bad"}"#, "never bad"),
            (r#"{"result":1,"error":"both"}"#, "no answer"),
            ("{}", "no answer"),
            ("Loading model…", "no answer"),
        ] {
            assert_eq!(short(read_line(line.as_bytes())), meaning, "{line}");
        }
    }

    #[test]
    fn exit_codes_are_done_again_or_never() {
        assert_eq!(exited(0, b" {\"a\": 1}\n"), "done {\"a\": 1}");
        assert!(exited(75, b"").starts_with("again "));
        assert_eq!(exited(3, b""), "never the command failed with exit code 3");
        assert!(exited(0, b"Hello").ends_with("it begins `Hello`"));
        let killed = judge(ExitStatus::from_raw(9), b"", &LastWords::default());
        assert_eq!(short(Some(killed)), "again the command was killed by signal 9");
    }
}

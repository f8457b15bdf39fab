//! What holds for everything that a command may print.

use super::{
    answer::{judge, read_line},
    last_words::LastWords,
};
use crate::{Outcome, excerpt};
use proptest::prelude::*;
use std::{os::unix::process::ExitStatusExt as _, process::ExitStatus};
use warren_testkit::inputs;

const LINES: &[&str] = &[
    r#"{"result":{"a":[1.50,null]}}"#,
    r#"{"error":"busy","retry":true}"#,
    r#"{"error":"bad"}"#,
    r#"[1,"busy",true]"#,
    "Loading model…",
];

fn is_json(outcome: Option<&Outcome>) -> bool {
    match outcome {
        Some(Outcome::Done(result)) => serde_json::from_str::<serde::de::IgnoredAny>(result.get()).is_ok(),
        _ => true,
    }
}

proptest! {
    #[test]
    fn every_line_is_an_answer_or_none_and_a_result_is_json(line in inputs::bodies(LINES)) {
        let answer = read_line(&line);
        prop_assert!(is_json(answer.as_ref()));
        if answer.is_some() {
            prop_assert_eq!(line.trim_ascii_start().first(), Some(&b'{'));
        }
        prop_assert!(excerpt::beginning(&line).len() < 2500);
    }

    #[test]
    fn every_output_and_every_status_mean_something(output in inputs::bodies(LINES), status in any::<i32>()) {
        prop_assert!(is_json(Some(&judge(ExitStatus::from_raw(status), &output, &LastWords::default()))));
    }
}

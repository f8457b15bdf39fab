//! What holds for every answer of a server.

use super::{
    answer::{Body, judge},
    retry_after,
};
use crate::Outcome;
use jiff::Timestamp;
use proptest::prelude::*;
use reqwest::StatusCode;
use warren_testkit::inputs;

const BODIES: &[&str] = &[r#"{"a": [1.50, null]}"#, "<html>", "null", ""];
const PAUSES: &[&str] = &[
    "120",
    "0",
    "Sun, 06 Nov 1994 08:49:37 GMT",
    "Fri, 31 Dec 9999 23:59:59 GMT",
    "Sunday, 06-Nov-94 08:49:37 GMT",
    "18446744073709551615",
];

proptest! {
    #[test]
    fn every_answer_means_something_and_a_result_is_json(status in 100..1000_u16, body in inputs::bodies(BODIES)) {
        let status = StatusCode::from_u16(status).expect("is a status");
        match judge(status, None, &Body::Whole(body)) {
            Outcome::Done(result) => {
                prop_assert!(status.is_success());
                prop_assert!(serde_json::from_str::<serde::de::IgnoredAny>(result.get()).is_ok());
            }
            Outcome::Again { error, .. } | Outcome::Never { error } => prop_assert!(error.len() < 4096, "{}", error),
        }
    }

    #[test]
    fn no_wish_for_a_pause_makes_the_reader_panic(value in inputs::texts(PAUSES), second in any::<i32>()) {
        let _ = retry_after::read(&value, Timestamp::from_second(second.into()).expect("is a time"));
    }
}

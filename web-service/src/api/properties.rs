//! What holds for every body and every query; `tests/properties.rs` asks the whole API.

use super::{list, submit, wait};
use proptest::{option, prelude::*};
use std::time::Duration;
use warren_testkit::inputs;

const SUBMITS: &[&str] =
    &[r#"{"data":"hello"}"#, r#"{"data":{"n": 1.50}}"#, r#"["hello"]"#, r#"{"data":1,"expiresIn":"5m"}"#];
const WORDS: &[&str] = &["queued", "succeeded", "50", "-1", "9223372036854775807", "30s", "1m", "0s"];

proptest! {
    #[test]
    fn every_submit_is_refused_or_its_data_kept_byte_for_byte(body in inputs::bodies(SUBMITS)) {
        if let Ok(submit) = submit::parse(&body) {
            prop_assert_eq!(body.trim_ascii_start().first(), Some(&b'{'));
            prop_assert!(String::from_utf8_lossy(&body).contains(submit.data.get()));
        }
    }

    #[test]
    fn every_query_is_refused_or_within_its_limits(
        status in option::of(inputs::texts(WORDS)), cursor in option::of(inputs::texts(WORDS)),
        limit in option::of(inputs::texts(WORDS)), wait in option::of(inputs::texts(WORDS)),
    ) {
        if let Ok(filter) = list::filter(&list::Parameters { status, cursor, limit }) {
            prop_assert!((1..=1000).contains(&filter.limit));
        }
        let longest = Duration::from_secs(60);
        if let Ok(wait) = wait::parse(wait.as_deref(), longest) {
            prop_assert!(wait <= longest);
        }
    }
}

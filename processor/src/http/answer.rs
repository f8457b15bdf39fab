//! What an HTTP answer means.

use crate::{Outcome, excerpt};
use reqwest::StatusCode;
use serde_json::value::RawValue;
use std::time::Duration;

/// The answer's body.
#[derive(Debug)]
pub(super) enum Body {
    /// All of it.
    Whole(Vec<u8>),
    /// More than a result may have; the rest was not read.
    TooLarge {
        /// The most it may have, in bytes.
        limit: usize,
    },
}

/// What status and body mean.
pub(super) fn judge(status: StatusCode, retry_after: Option<Duration>, body: &Body) -> Outcome {
    match status {
        success if success.is_success() => result(status, body),
        later if is_for_now(later) => {
            Outcome::Again { error: format!("answered {status}{}", shown(body)), retry_after }
        }
        _ => Outcome::never(format_args!("answered {status}{}", shown(body))),
    }
}

/// Statuses by which a server says that the request itself is fine.
pub(super) fn is_for_now(status: StatusCode) -> bool {
    let asked = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_EARLY, StatusCode::TOO_MANY_REQUESTS];
    asked.contains(&status) || status.is_server_error()
}

fn result(status: StatusCode, body: &Body) -> Outcome {
    let bytes = match body {
        Body::Whole(bytes) => bytes,
        Body::TooLarge { limit } => {
            return Outcome::never(format_args!(
                "answered {status} with more than {limit} bytes: store the result elsewhere and answer where, or \
                 raise WARREN_MAX_RESULT_BYTES"
            ));
        }
    };
    if bytes.is_empty() {
        return Outcome::done(&());
    }
    match serde_json::from_slice::<&RawValue>(bytes) {
        Ok(json) => Outcome::Done(json.to_owned()),
        Err(error) => Outcome::never(format_args!("answered {status} with no JSON ({error}){}", shown(body))),
    }
}

fn shown(body: &Body) -> String {
    match body {
        Body::Whole(bytes) if bytes.is_empty() => String::new(),
        Body::Whole(bytes) => format!(": {}", excerpt::beginning(bytes)),
        Body::TooLarge { limit } => format!(", and more than {limit} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meaning(status: u16, body: &[u8]) -> String {
        let status = StatusCode::from_u16(status).expect("is a status");
        match judge(status, None, &Body::Whole(body.to_vec())) {
            Outcome::Done(json) => format!("done {}", json.get()),
            Outcome::Again { error, .. } => format!("again {error}"),
            Outcome::Never { error } => format!("never {error}"),
        }
    }

    #[test]
    fn success_is_a_json_result() {
        assert_eq!(meaning(200, b"{\"a\":1}"), "done {\"a\":1}");
        assert_eq!(meaning(204, b""), "done null");
        let html = meaning(200, b"<html>");
        assert!(html.starts_with("never answered 200 OK with no JSON") && html.ends_with("`<html>`"), "{html}");
    }

    #[test]
    fn statuses_that_may_pass_are_tried_again() {
        for status in [408, 425, 429, 500, 502, 503, 504] {
            assert!(meaning(status, b"busy").starts_with("again answered"), "{status}");
        }
    }

    #[test]
    fn other_statuses_are_final_and_show_the_bodys_beginning() {
        for status in [301, 304, 400, 404, 409, 422] {
            let meaning = meaning(status, b"no such picture");
            assert!(meaning.starts_with("never answered"), "{meaning}");
            assert!(meaning.ends_with("`no such picture`"), "{meaning}");
        }
    }

    #[test]
    fn too_much_of_a_result_is_final() {
        let outcome = judge(StatusCode::OK, None, &Body::TooLarge { limit: 5 });
        assert!(matches!(&outcome, Outcome::Never { error } if error.contains("more than 5 bytes")), "{outcome:?}");
    }
}

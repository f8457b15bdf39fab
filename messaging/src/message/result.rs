//! `result`: work that was done.

use super::{ATTEMPT, Outgoing, REPLAY, to_json};
use crate::{request_id::RequestId, topology};
use lapin::types::{AMQPValue, FieldTable};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The body of a result.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResultBody<'a> {
    /// The request's id, as it came.
    pub request_id: RequestId,
    /// Any JSON value, as the handler gave it. Absent, it is `null`: where a handler gives back nothing, some senders leave
    /// the member out, and whoever waits for the request is to learn that it is done all the same.
    #[serde(borrow, default = "nothing")]
    pub processing_results: &'a RawValue,
}

fn nothing<'a>() -> &'a RawValue {
    RawValue::NULL
}

/// The message of a result that attempt `attempt` of replay `replay` produced.
#[must_use]
pub fn result(id: &RequestId, results: &RawValue, attempt: u32, replay: u32) -> Outgoing {
    let body = to_json(&ResultBody { request_id: id.clone(), processing_results: results });
    let mut headers = FieldTable::default();
    headers.insert(ATTEMPT.into(), AMQPValue::LongLongInt(attempt.into()));
    headers.insert(REPLAY.into(), AMQPValue::LongLongInt(replay.into()));
    Outgoing::new(topology::RESULT_KEY, "result", id, body).with_headers(headers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::read;

    #[test]
    fn a_result_that_says_nothing_of_results_is_null_and_one_without_an_id_is_none() {
        for (body, results) in [
            (r#"{"requestId":"a"}"#, "null"),
            (r#"{"requestId":"a","processingResults":null}"#, "null"),
            (r#"{"requestId":"a","processingResults":1.50}"#, "1.50"),
        ] {
            let read = read::<ResultBody<'_>>(body.as_bytes()).expect(body);
            assert_eq!(read.processing_results.get(), results, "{body}");
        }
        assert!(read::<ResultBody<'_>>(br#"{"processingResults":1}"#).is_err());
    }
}

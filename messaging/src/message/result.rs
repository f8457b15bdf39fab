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
    /// Any JSON value, as the handler gave it.
    #[serde(borrow)]
    pub processing_results: &'a RawValue,
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

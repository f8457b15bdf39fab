//! What is sent: the same in every measurement.

use serde_json::value::RawValue;
use warren_messaging::{
    message::{Request, result},
    request_id::RequestId,
};

/// The size of the user's own data: a JSON text of 100 letters.
const LETTERS: usize = 100;

/// The user's own data.
pub fn data() -> Box<RawValue> {
    RawValue::from_string(format!("\"{}\"", "x".repeat(LETTERS))).expect("letters in quotes are JSON")
}

/// What a client posts.
pub fn submit() -> String {
    format!(r#"{{"data":{}}}"#, data().get())
}

/// An id as the web side makes them.
pub fn id() -> RequestId {
    RequestId::from_text(&uuid::Uuid::now_v7().to_string()).expect("a UUID is a valid request id")
}

/// The body of a request message.
pub fn request_body() -> Vec<u8> {
    Request { request_id: id(), request_data: &data() }.to_message().body
}

/// The body of a result message of the demo handler.
pub fn result_body() -> Vec<u8> {
    let text = format!("\"{}-processed\"", "x".repeat(LETTERS));
    let results = RawValue::from_string(text).expect("letters in quotes are JSON");
    result(&id(), &results, 1, 0).body
}

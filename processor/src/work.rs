//! What a handler gets.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use warren_messaging::request_id::RequestId;

/// One attempt at one request.
#[derive(Clone, Copy, Debug)]
pub struct Work<'a> {
    /// The request's id, as its sender chose it; the same at each attempt.
    pub request_id: &'a RequestId,
    /// Which attempt this is, counted from 1.
    pub attempt: u32,
    /// The request's data, byte for byte as it came: any JSON value.
    pub data: &'a RawValue,
    /// The sender's W3C trace context.
    pub traceparent: Option<&'a str>,
    /// When the result is no longer wanted, if the sender said so. A request that is due later than this is not
    /// begun; one that runs is not stopped by it.
    pub deadline: Option<Timestamp>,
}

impl<'a> Work<'a> {
    /// Reads the data into a type of yours.
    ///
    /// # Errors
    /// The data is JSON of another shape.
    pub fn parse<T: Deserialize<'a>>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.data.get())
    }
}

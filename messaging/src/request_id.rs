//! The id that ties a request to its result.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::value::RawValue;
use std::fmt;

/// A request's id: a JSON string or integer, whichever its sender chose, kept as it came.
///
/// Held as canonical JSON text (`"a"` or `17`), so that equal ids compare equal however they were escaped,
/// and integers of any size survive.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(String);

/// A value that is no request id.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestIdError {
    /// Neither a string nor an integer.
    #[error("a request id is a JSON string or integer")]
    WrongType,
    /// Empty, or longer than an AMQP message id can be.
    #[error("a request id has 1 to {MAX_BYTES} bytes")]
    Length,
    /// A control character, which no URL or log line should carry.
    #[error("a request id has no control characters")]
    Control,
}

/// The longest id, in bytes of its plain text: the size of AMQP's short strings, so that it fits `message_id`.
pub const MAX_BYTES: usize = 255;

impl RequestId {
    /// An id from plain text.
    ///
    /// # Errors
    /// The text is empty, too long, or has control characters.
    pub fn from_text(text: &str) -> Result<Self, RequestIdError> {
        if text.is_empty() || text.len() > MAX_BYTES {
            return Err(RequestIdError::Length);
        }
        if text.chars().any(char::is_control) {
            return Err(RequestIdError::Control);
        }
        Ok(Self(serde_json::Value::from(text).to_string()))
    }

    /// An id from one JSON value.
    ///
    /// # Errors
    /// The value is neither a string nor an integer, or breaks the rules of [`RequestId::from_text`].
    pub fn from_json(json: &str) -> Result<Self, RequestIdError> {
        if let Ok(text) = serde_json::from_str::<String>(json) {
            return Self::from_text(&text);
        }
        let digits = json.strip_prefix('-').unwrap_or(json);
        // JSON has no leading zeros.
        let is_padded = digits.len() > 1 && digits.starts_with('0');
        if digits.is_empty() || is_padded || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(RequestIdError::WrongType);
        }
        if json.len() > MAX_BYTES {
            return Err(RequestIdError::Length);
        }
        Ok(Self(json.to_owned()))
    }

    /// The canonical JSON text: what a store uses as the key.
    #[must_use]
    pub fn as_json(&self) -> &str {
        &self.0
    }
}

/// The plain text: a string without its quotes, or the integer's digits.
impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match serde_json::from_str::<String>(&self.0) {
            Ok(text) => f.write_str(&text),
            Err(_) => f.write_str(&self.0),
        }
    }
}

impl Serialize for RequestId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw = RawValue::from_string(self.0.clone()).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for RequestId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?;
        Self::from_json(raw.get()).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_and_integers_come_back_as_they_went() {
        for json in ["\"019a\"", "1", "-7", "123456789012345678901234567890"] {
            let id: RequestId = serde_json::from_str(json).expect(json);
            assert_eq!(serde_json::to_string(&id).expect("is JSON"), json);
        }
    }

    #[test]
    fn a_string_of_digits_is_another_id_than_the_integer() {
        assert_ne!(RequestId::from_json("\"1\""), RequestId::from_json("1"));
        assert_eq!(RequestId::from_json("\"1\"").expect("is an id").to_string(), "1");
    }

    #[test]
    fn one_id_in_two_spellings_is_equal() {
        assert_eq!(RequestId::from_json(r#""\u0061""#), RequestId::from_text("a"));
    }

    #[test]
    fn other_values_are_refused() {
        for json in ["null", "1.5", "true", "[]", "{}", "\"\"", "1e3", "\"\\n\""] {
            assert!(serde_json::from_str::<RequestId>(json).is_err(), "{json}");
        }
        assert_eq!(RequestId::from_text(&"x".repeat(256)), Err(RequestIdError::Length));
    }

    #[test]
    fn digits_that_are_no_json_are_no_id() {
        for text in ["007", "-07", "00", "-"] {
            assert_eq!(RequestId::from_json(text), Err(RequestIdError::WrongType), "{text}");
        }
        assert_eq!(RequestId::from_json("0").expect("is an id").to_string(), "0");
    }
}

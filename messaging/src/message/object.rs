//! Bodies are JSON objects.

use crate::request_id::RequestId;
use serde::{Deserialize, de::IgnoredAny};
use std::collections::BTreeMap;

/// Reads a body. serde would also fill a struct from an array of its members, and `[id, data]` is no message of anybody's.
///
/// # Errors
/// It is no JSON, no object, or an object of another shape.
pub fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> serde_json::Result<T> {
    if body.trim_ascii_start().first() != Some(&b'{') {
        // Says what it is instead.
        serde_json::from_slice::<BTreeMap<String, IgnoredAny>>(body)?;
    }
    serde_json::from_slice(body)
}

/// The id in a body, whatever else is in it or missing: somebody may wait for it all the same.
///
/// # Errors
/// It is no object, or has no usable `requestId`.
pub fn read_id(body: &[u8]) -> serde_json::Result<RequestId> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct OnlyId {
        request_id: RequestId,
    }
    read::<OnlyId>(body).map(|only| only.request_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Pair {
        a: u8,
        b: u8,
    }

    #[test]
    fn only_an_object_is_a_body() {
        assert_eq!(read::<Pair>(br#" {"b":2,"a":1}"#).expect("is one"), Pair { a: 1, b: 2 });
        for body in [&b"[1,2]"[..], b" [1,2]", b"null", b"1", b"", b"\x0c{}"] {
            assert!(read::<Pair>(body).is_err(), "{body:?}");
        }
        let refusal = read::<Pair>(b"[1,2]").expect_err("is none").to_string();
        assert!(refusal.starts_with("invalid type: sequence, expected a map"), "{refusal}");
    }

    #[test]
    fn an_id_is_read_whatever_stands_beside_it() {
        assert_eq!(read_id(br#"{"requestId": "a", "requestData": [}"#).ok(), None);
        assert_eq!(read_id(br#"{"requestData": 1}"#).ok(), None);
        let id = read_id(br#"{"requestId": "a", "processingResults": null}"#).expect("there is one");
        assert_eq!(id.to_string(), "a");
    }
}

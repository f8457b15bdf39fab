//! Inputs for the properties of decoders: most are made from valid ones, since what is wrong everywhere is refused at the
//! first byte.
//!
//! `make check` tries each property a few hundred times, `make fuzz` a million times.

mod amqp;
mod json;

pub use amqp::{headers, properties};
pub use json::{altered, json};

use proptest::{collection::vec, prelude::*, sample::select};

/// What decoders stumble over, if over anything.
const TOKENS: [&str; 40] = [
    "",
    " ",
    "\n",
    "\0",
    "\u{7f}",
    "\u{feff}",
    "é",
    "\u{1f407}",
    "\"",
    "'",
    "\\",
    "\\u0000",
    "\\ud800",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "/",
    "?",
    "#",
    "@",
    "%",
    "%2f",
    "%ff",
    "%0",
    "&",
    "=",
    "0",
    "-0",
    "-1",
    "1.5",
    "1e999",
    "007",
    "18446744073709551616",
    "NaN",
    "null",
    "true",
    "\"\"",
];

/// One change of a text.
#[derive(Clone, Debug)]
enum Edit {
    Insert(&'static str),
    Byte(u8),
    Cut(usize),
    Repeat(usize, usize),
}

/// One of the samples, with a few changes at any place.
pub fn mutated(samples: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let edit = prop_oneof![
        4 => select(&TOKENS[..]).prop_map(Edit::Insert),
        2 => any::<u8>().prop_map(Edit::Byte),
        2 => (1..20_usize).prop_map(Edit::Cut),
        1 => (1..8_usize, 1..200_usize).prop_map(|(length, times)| Edit::Repeat(length, times)),
    ];
    (select(samples), vec((any::<prop::sample::Index>(), edit), 0..5)).prop_map(|(sample, edits)| {
        let mut bytes = sample.as_bytes().to_vec();
        for (place, edit) in edits {
            apply(&mut bytes, place, edit);
        }
        bytes
    })
}

fn apply(bytes: &mut Vec<u8>, place: prop::sample::Index, edit: Edit) {
    let at = place.index(bytes.len() + 1);
    match edit {
        Edit::Insert(token) => drop(bytes.splice(at..at, token.bytes())),
        Edit::Byte(byte) => drop(bytes.splice(at..(at + 1).min(bytes.len()), [byte])),
        Edit::Cut(length) => drop(bytes.drain(at..(at + length).min(bytes.len()))),
        Edit::Repeat(length, times) => {
            let part = bytes[at..(at + length).min(bytes.len())].repeat(times);
            bytes.splice(at..at, part);
        }
    }
}

/// Texts made of the samples, or of anything.
pub fn texts(samples: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop_oneof![
        8 => mutated(samples).prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
        1 => "\\PC{0,40}",
    ]
}

/// JSON texts made of the samples, and what is none: changed in their structure, in their bytes, or anything.
pub fn bodies(samples: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => mutated(samples),
        4 => altered(samples).prop_map(|value| value.to_string().into_bytes()),
        1 => json().prop_map(|value| value.to_string().into_bytes()),
        1 => vec(any::<u8>(), 0..64),
    ]
}

//! Properties of messages, as a sender of any kind may set them.

use lapin::{
    BasicProperties,
    types::{AMQPValue, DecimalValue, FieldTable},
};
use proptest::{collection::vec, option, prelude::*, sample::select};

/// Headers that somebody reads, and one that nobody does.
const NAMES: [&str; 12] = [
    "x-attempt",
    "x-deadline",
    "x-reason",
    "x-error",
    "x-vanished",
    "x-delivery-count",
    "x-death",
    "x-first-death-reason",
    "traceparent",
    "CC",
    "reason",
    "x-mine",
];

const TEXTS: [&str; 12] = [
    "",
    "delivery_limit",
    "expired",
    "rejected",
    "attempts_exhausted",
    "2026-01-01T00:00:00Z",
    "-009999-01-02T01:59:59Z",
    "9999-12-30T22:00:00.999999999Z",
    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "nul \0 in it",
    "é",
    "1",
];

fn text() -> impl Strategy<Value = String> {
    prop_oneof![select(&TEXTS[..]).prop_map(str::to_owned), "\\PC{0,20}", (0..3000_usize).prop_map(|n| "é".repeat(n))]
}

fn value() -> impl Strategy<Value = AMQPValue> {
    let number = prop_oneof![Just(i64::MIN), Just(i64::MAX), -3..6_i64, any::<i64>()];
    let leaf = prop_oneof![
        any::<bool>().prop_map(AMQPValue::Boolean),
        any::<i8>().prop_map(AMQPValue::ShortShortInt),
        any::<u8>().prop_map(AMQPValue::ShortShortUInt),
        any::<i16>().prop_map(AMQPValue::ShortInt),
        any::<u16>().prop_map(AMQPValue::ShortUInt),
        any::<i32>().prop_map(AMQPValue::LongInt),
        any::<u32>().prop_map(AMQPValue::LongUInt),
        number.prop_map(AMQPValue::LongLongInt),
        any::<f32>().prop_map(AMQPValue::Float),
        any::<f64>().prop_map(AMQPValue::Double),
        (any::<u8>(), any::<u32>()).prop_map(|(scale, value)| AMQPValue::DecimalValue(DecimalValue { scale, value })),
        text().prop_map(|text| AMQPValue::LongString(text.into())),
        vec(any::<u8>(), 0..30).prop_map(|bytes| AMQPValue::LongString(bytes.into())),
        any::<u64>().prop_map(AMQPValue::Timestamp),
        vec(any::<u8>(), 0..30).prop_map(|bytes| AMQPValue::ByteArray(bytes.into())),
        Just(AMQPValue::Void),
    ];
    leaf.prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(|items| AMQPValue::FieldArray(items.into())),
            vec((select(&NAMES[..]), inner), 0..3).prop_map(|members| AMQPValue::FieldTable(table(members))),
        ]
    })
}

fn table(members: Vec<(&'static str, AMQPValue)>) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in members {
        table.insert(name.into(), value);
    }
    table
}

/// Headers: names that are known, with values that may be anything.
pub fn headers() -> impl Strategy<Value = FieldTable> {
    vec((select(&NAMES[..]), value()), 0..5).prop_map(table)
}

/// Properties with such headers, and others that a foreign sender may set.
pub fn properties() -> impl Strategy<Value = BasicProperties> {
    (option::weighted(0.9, headers()), option::of("[ -~]{0,255}"), option::of(any::<u8>()), option::of("[0-9a-z]{0,9}"))
        .prop_map(|(headers, id, priority, expiration)| {
            let mut properties = BasicProperties::default();
            if let Some(headers) = headers {
                properties = properties.with_headers(headers);
            }
            if let Some(id) = id {
                properties = properties.with_message_id(id.into());
            }
            if let Some(priority) = priority {
                properties = properties.with_priority(priority);
            }
            match expiration {
                Some(expiration) => properties.with_expiration(expiration.into()),
                None => properties,
            }
        })
}

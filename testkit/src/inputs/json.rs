//! JSON values, from nowhere and from samples.

use proptest::{
    collection::{btree_map, vec},
    prelude::*,
    sample::{Index, select},
};
use serde_json::{Value, json};

/// Any JSON value, none very large.
pub fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        "\\PC{0,12}".prop_map(Value::from),
        select(&["", "a", "90s", "-5m", "2026-01-01T00:00:00Z", "\0", "started", "\u{feff}x"][..])
            .prop_map(Value::from),
        (0..600_usize).prop_map(|length| Value::from("é".repeat(length))),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            btree_map("[a-zA-Z]{0,8}", inner, 0..4).prop_map(|members| members.into_iter().collect()),
        ]
    })
}

/// One change of a value.
#[derive(Clone, Debug)]
enum Change {
    Replace(Value),
    Remove,
    Wrap,
    Nest(usize),
}

/// One of the samples, with other values at a few places of it. A sample that is no JSON is a text.
pub fn altered(samples: &'static [&'static str]) -> impl Strategy<Value = Value> {
    let change = prop_oneof![
        6 => json().prop_map(Change::Replace),
        2 => Just(Change::Remove),
        1 => Just(Change::Wrap),
        1 => (1..200_usize).prop_map(Change::Nest),
    ];
    (select(samples), vec((any::<Index>(), change), 0..4)).prop_map(|(sample, changes)| {
        let mut value: Value = serde_json::from_str(sample).unwrap_or_else(|_| Value::from(sample));
        for (place, change) in changes {
            let place = place.index(count(&value));
            alter(&mut value, place, change);
        }
        value
    })
}

/// How many values there are, this one and those in it.
fn count(value: &Value) -> usize {
    1 + children(value).map(count).sum::<usize>()
}

fn children(value: &Value) -> Box<dyn Iterator<Item = &Value> + '_> {
    match value {
        Value::Array(items) => Box::new(items.iter()),
        Value::Object(members) => Box::new(members.values()),
        _ => Box::new(std::iter::empty()),
    }
}

/// Changes the value that stands at `place` when all are counted in order; this one is the first.
fn alter(value: &mut Value, mut place: usize, change: Change) {
    if place == 0 {
        *value = changed(value.take(), change);
        return;
    }
    place -= 1;
    let inner: Box<dyn Iterator<Item = &mut Value> + '_> = match value {
        Value::Array(items) => Box::new(items.iter_mut()),
        Value::Object(members) => Box::new(members.values_mut()),
        _ => return,
    };
    for child in inner {
        let size = count(child);
        if place < size {
            return alter(child, place, change);
        }
        place -= size;
    }
}

fn changed(value: Value, change: Change) -> Value {
    match change {
        Change::Replace(other) => other,
        Change::Remove => match value {
            Value::Object(members) => members.into_iter().skip(1).collect(),
            _ => Value::Null,
        },
        Change::Wrap => json!([value]),
        Change::Nest(depth) => (0..depth).fold(value, |inner, _| json!({ "a": inner })),
    }
}

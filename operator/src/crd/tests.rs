//! Every rule with an object that it accepts and one that it refuses, by its words; and that serde's defaults are the
//! schema's.

mod defaults;
mod rules;

use super::ProcessingPipeline;
use serde_json::{Value, json};

/// A pipeline with these sections merged over a minimal one.
fn pipeline(sections: Value) -> ProcessingPipeline {
    named("thumbnails", sections)
}

fn named(name: &str, sections: Value) -> ProcessingPipeline {
    let mut spec = json!({
        "broker": {"secretRef": {"name": "rabbitmq", "key": "url"}},
        "processor": {"handler": {"demo": {}}},
    });
    merge(&mut spec, sections);
    ProcessingPipeline::new(name, serde_json::from_value(spec).expect("a spec"))
}

/// Merges objects, replaces everything else, and removes what is `null`.
fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                if value.is_null() {
                    into.remove(&key);
                } else {
                    merge(into.entry(key).or_insert(Value::Null), value);
                }
            }
        }
        (into, from) => *into = from,
    }
}

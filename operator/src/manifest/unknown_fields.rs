//! Fields that the schema does not know. The API server drops them with a warning at most, so a slip in an optional
//! field would have no effect; here they are refused.

use super::{check::Problem, field_path, nearest::nearest};
use serde_json::{Map, Value};

/// Every field of `value` that `schema` does not know.
pub(super) fn find(schema: &Value, value: &Value) -> Vec<Problem> {
    let mut problems = Vec::new();
    walk(schema, value, "", &mut problems);
    problems
}

fn walk(schema: &Value, value: &Value, path: &str, problems: &mut Vec<Problem>) {
    match value {
        Value::Object(fields) => object(schema, fields, path, problems),
        Value::Array(items) => {
            let schema = schema.get("items").unwrap_or(&Value::Null);
            for (index, value) in items.iter().enumerate() {
                walk(schema, value, &field_path::item(path, index), problems);
            }
        }
        _ => {}
    }
}

fn object(schema: &Value, fields: &Map<String, Value>, path: &str, problems: &mut Vec<Problem>) {
    // Maps with free keys, whole foreign objects, and values that should be no object at all have no known fields.
    let Some(known) = schema.get("properties").and_then(Value::as_object) else { return };
    for (field, value) in fields {
        let path = field_path::child(path, field);
        match known.get(field) {
            Some(schema) => walk(schema, value, &path, problems),
            None => problems.push(unknown(path, field, known)),
        }
    }
}

fn unknown(path: String, field: &str, known: &Map<String, Value>) -> Problem {
    let suggestion = nearest(field, known.keys().map(String::as_str));
    let text = match suggestion {
        Some(suggestion) => format!("unknown field; did you mean `{suggestion}`?"),
        None => format!("unknown field; known here: {}", known.keys().cloned().collect::<Vec<_>>().join(", ")),
    };
    let meant = suggestion.map(|suggestion| match path.rsplit_once('.') {
        Some((parent, _)) => field_path::child(parent, suggestion),
        None => suggestion.to_owned(),
    });
    Problem { path, text, meant }
}

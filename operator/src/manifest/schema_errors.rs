//! What the schema refuses, in words for people.

use super::{check::Problem, field_path, nearest::nearest};
use jsonschema::{
    JsonType, ValidationError, Validator,
    error::{TypeKind, ValidationErrorKind},
};
use serde_json::Value;
use warren_messaging::duration;

/// Everything in `value` that `validator`, built from `schema`, refuses.
pub(super) fn find(validator: &Validator, schema: &Value, value: &Value) -> Vec<Problem> {
    validator.iter_errors(value).map(|error| problem(schema, &error)).collect()
}

fn problem(schema: &Value, error: &ValidationError<'_>) -> Problem {
    let path = field_path::from_pointer(error.instance_path().as_str());
    if let ValidationErrorKind::Required { property } = error.kind() {
        let property = property.as_str().unwrap_or_default();
        return Problem::new(field_path::child(&path, property), missing(schema, error, property));
    }
    Problem::new(path, text(schema, error))
}

fn missing(schema: &Value, error: &ValidationError<'_>, property: &str) -> String {
    let description = parent(schema, error).and_then(|node| node.get("properties")?.get(property)?.get("description"));
    format!("missing{}", in_brackets(description))
}

fn text(schema: &Value, error: &ValidationError<'_>) -> String {
    let given = describe(error.instance());
    match error.kind() {
        ValidationErrorKind::Type { kind } => wrong_type(kind, error.instance()),
        ValidationErrorKind::Enum { options } => not_an_option(options, error.instance()),
        ValidationErrorKind::Minimum { limit } => format!("{given} is too small; write {limit} or more"),
        ValidationErrorKind::Maximum { limit } => format!("{given} is too large; write {limit} or less"),
        ValidationErrorKind::MinLength { .. } => "empty; write something here".into(),
        ValidationErrorKind::MaxLength { limit } => format!("too long; at most {limit} characters"),
        ValidationErrorKind::MinItems { limit } => format!("too few; write {limit} or more"),
        ValidationErrorKind::MaxItems { limit } => format!("too many; write {limit} or fewer"),
        ValidationErrorKind::Pattern { pattern } => no_match(pattern, error.instance(), parent(schema, error)),
        _ => error.to_string(),
    }
}

fn wrong_type(kind: &TypeKind, given: &Value) -> String {
    let (expected, hint) = match kind {
        TypeKind::Single(JsonType::String) if !given.is_object() && !given.is_array() => {
            ("a text", "; put it in quotes")
        }
        TypeKind::Single(JsonType::String) => ("a text", ""),
        TypeKind::Single(JsonType::Integer) => ("a whole number", ""),
        TypeKind::Single(JsonType::Number) => ("a number", ""),
        TypeKind::Single(JsonType::Boolean) => ("true or false", ""),
        TypeKind::Single(JsonType::Array) => ("a list", ""),
        TypeKind::Single(JsonType::Object) => ("fields, one per line and indented", ""),
        _ => ("something else", ""),
    };
    format!("expected {expected}, found {}{hint}", describe(given))
}

fn not_an_option(options: &Value, given: &Value) -> String {
    let options: Vec<_> = options.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    match nearest(given.as_str().unwrap_or_default(), options.iter().copied()) {
        Some(meant) => format!("{} is not possible; did you mean `{meant}`?", describe(given)),
        None => format!("{} is not possible; choose {}", describe(given), options.join(" or ")),
    }
}

fn no_match(pattern: &str, given: &Value, node: Option<&Value>) -> String {
    if pattern == duration::PATTERN
        && let Err(refusal) = duration::parse(given.as_str().unwrap_or_default())
    {
        return refusal.to_string();
    }
    let description = node.and_then(|node| node.get("description"));
    format!("{} is not possible; it must match {pattern}{}", describe(given), in_brackets(description))
}

/// The part of the schema that holds the keyword which refused.
fn parent<'a>(schema: &'a Value, error: &ValidationError<'_>) -> Option<&'a Value> {
    let (parent, _) = error.schema_path().as_str().rsplit_once('/')?;
    schema.pointer(parent)
}

fn in_brackets(description: Option<&Value>) -> String {
    description.and_then(Value::as_str).map(|text| format!(" ({})", text.trim_end_matches('.'))).unwrap_or_default()
}

/// A value, short enough for a message.
fn describe(value: &Value) -> String {
    match value {
        Value::Null => "nothing".into(),
        Value::Bool(_) | Value::Number(_) => format!("`{value}`"),
        Value::String(text) if text.chars().count() > 60 => format!("`{}…`", text.chars().take(60).collect::<String>()),
        Value::String(text) => format!("`{text}`"),
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "fields".into(),
    }
}

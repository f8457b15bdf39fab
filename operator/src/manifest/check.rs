//! All checks of one document, in the order in which the API server makes them.

use super::{field_path, schema_errors, unknown_fields};
use kube::core::cel;
use serde_json::Value;
use std::collections::BTreeSet;

/// One thing that is wrong with a document.
#[derive(Debug)]
pub(super) struct Problem {
    /// The field.
    pub path: String,
    /// What is wrong with it.
    pub text: String,
    /// The field that was probably meant; that it is missing need not be said as well.
    pub meant: Option<String>,
}

impl Problem {
    /// A problem at `path`.
    pub fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        Self { path: path.into(), text: text.into(), meant: None }
    }
}

/// A schema, ready to check documents with.
pub(super) struct Schema {
    schema: Value,
    validator: jsonschema::Validator,
    rules: cel::CompiledSchema,
}

impl Schema {
    /// Compiles `schema`.
    ///
    /// # Panics
    /// `schema` is no JSON schema. It is made by this program, and a test compiles it.
    pub fn new(schema: Value) -> Self {
        let validator = jsonschema::validator_for(&schema).expect("schemas of this program compile");
        let rules = cel::compile_schema(&schema);
        Self { schema, validator, rules }
    }

    /// Checks `value` and drops explicit nulls from it, which mean the same as leaving the field out.
    pub fn check(&self, value: &mut Value) -> Vec<Problem> {
        drop_nulls(&self.schema, value);
        let mut problems = unknown_fields::find(&self.schema, value);
        let meant: BTreeSet<String> = problems.iter().filter_map(|problem| problem.meant.clone()).collect();
        let refused = schema_errors::find(&self.validator, &self.schema, value);
        problems.extend(refused.into_iter().filter(|problem| !meant.contains(&problem.path)));
        duplicates(&self.schema, value, "", &mut problems);
        let broken_rules = self.broken_rules(value, &problems);
        problems.extend(broken_rules);
        problems
    }

    /// CEL rules that `value` breaks, except those that look at what is wrong already: they would most likely complain
    /// of that same thing in other words.
    fn broken_rules(&self, value: &Value, problems: &[Problem]) -> Vec<Problem> {
        let Err(errors) = cel::Validator::new().validate_compiled(&self.rules, value, None) else { return Vec::new() };
        errors
            .into_iter()
            .filter(|error| !problems.iter().any(|problem| looks_at(&error.rule, &error.field_path, problem)))
            .map(|error| Problem::new(error.field_path, error.message))
            .collect()
    }
}

/// Whether `rule`, which stands at `scope`, looks at the field that has the problem.
fn looks_at(rule: &str, scope: &str, problem: &Problem) -> bool {
    let field = problem.meant.as_deref().unwrap_or(&problem.path);
    let Some(below) = field_path::below(field, scope) else { return false };
    let step = below.split(['.', '[']).next().unwrap_or_default();
    step.is_empty() || rule.contains(&format!("self.{step}"))
}

fn drop_nulls(schema: &Value, value: &mut Value) {
    if schema.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true)) {
        return;
    }
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            for (field, value) in fields {
                let property = schema.get("properties").and_then(|known| known.get(field));
                drop_nulls(property.unwrap_or(&Value::Null), value);
            }
        }
        Value::Array(items) => {
            let schema = schema.get("items").unwrap_or(&Value::Null);
            items.iter_mut().for_each(|item| drop_nulls(schema, item));
        }
        _ => {}
    }
}

/// Lists that are maps by a key (`x-kubernetes-list-type: map`) have each key once.
fn duplicates(schema: &Value, value: &Value, path: &str, problems: &mut Vec<Problem>) {
    match value {
        Value::Object(fields) => {
            for (field, value) in fields {
                if let Some(schema) = schema.get("properties").and_then(|known| known.get(field)) {
                    duplicates(schema, value, &field_path::child(path, field), problems);
                }
            }
        }
        Value::Array(items) => {
            let Some(key) = schema.pointer("/x-kubernetes-list-map-keys/0").and_then(Value::as_str) else { return };
            let mut seen = BTreeSet::new();
            for (index, item) in items.iter().enumerate() {
                if let Some(text) = item.get(key).and_then(Value::as_str).filter(|text| !seen.insert(*text)) {
                    let path = field_path::child(&field_path::item(path, index), key);
                    problems.push(Problem::new(path, format!("`{text}` is there twice; remove one of them")));
                }
            }
        }
        _ => {}
    }
}

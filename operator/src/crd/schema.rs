//! The schema behind the resource: one definition for the API server, the controller and files on disk.

use super::ProcessingPipeline;
use kube::CustomResourceExt as _;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::Value;
use std::sync::LazyLock;

/// A partial PodTemplateSpec as it was written. Read and checked when a pipeline is validated.
pub type PodTemplate = serde_json::Map<String, Value>;

static DEFINITION: LazyLock<Value> = LazyLock::new(|| {
    let mut definition = serde_json::to_value(ProcessingPipeline::crd()).expect("a definition has only string keys");
    tidy(&mut definition);
    definition
});

/// The CustomResourceDefinition to install, as JSON.
#[must_use]
pub fn definition() -> &'static Value {
    &DEFINITION
}

/// The `openAPIV3Schema` of a pipeline. It says nothing of `metadata`, which is Kubernetes' own.
#[must_use]
pub fn schema() -> &'static Value {
    &DEFINITION["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
}

/// An explicit `null` means "not set" everywhere: the API server then drops it and applies the default, as with every
/// field of its own. Descriptions become one line each, which `kubectl explain` wraps itself, and limits the whole
/// numbers that they were.
fn tidy(node: &mut Value) {
    match node {
        Value::Object(fields) => {
            if fields.get("nullable") == Some(&Value::Bool(true)) {
                fields.remove("nullable");
            }
            if let Some(Value::String(description)) = fields.get_mut("description") {
                *description = description.split_whitespace().collect::<Vec<_>>().join(" ");
            }
            fields.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        Value::Number(number) => {
            if let Some(whole) = number.as_f64().filter(|number| number.fract() == 0.0) {
                // Limits are far below 2^53, where floating point numbers begin to skip whole ones.
                *node = Value::from(whole as i64);
            }
        }
        _ => {}
    }
}

/// Schema of a partial PodTemplateSpec: any object, kept as it is.
pub(super) fn pod_template(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

/// A duration in a CEL rule: `path` names a text that matches [`warren_messaging::duration::PATTERN`]. CEL's own
/// `duration` knows no days: so many hours are written 24 times instead. Not counted and written once, as the API server
/// has no bound for how long a number is as a text, and refuses the whole definition for what the rule might cost.
pub(super) fn duration(path: &str) -> String {
    let hours = format!("'{}'.replace('d', {path}.substring(0, {path}.indexOf('d')) + 'h')", "d".repeat(24));
    let rest = format!("{path}.substring({path}.indexOf('d') + 1)");
    format!("duration({path}.contains('d') ? {hours} + {rest} : {path})")
}

/// The default of switches that are on.
pub(super) fn yes() -> bool {
    true
}

//! Which documents concern a pipeline, and what each must look like.

use super::{
    check::{Problem, Schema},
    document::Document,
    nearest::nearest,
    refusal::Refusal,
};
use crate::{
    crd::{ProcessingPipeline, schema},
    validate::{self, Pipeline},
};
use k8s_openapi::api::core::v1::Secret;
use kube::Resource as _;
use serde_json::{Value, json};
use std::sync::LazyLock;

/// What a document is to a pipeline.
pub(super) enum Kind {
    /// A pipeline itself.
    Pipeline,
    /// A Secret that a pipeline may refer to.
    Secret,
    /// None of our business.
    Other,
}

/// The schema of pipelines, with the metadata that Kubernetes would check itself.
static PIPELINE: LazyLock<Schema> = LazyLock::new(|| {
    let mut whole = schema::schema().clone();
    whole["properties"]["metadata"] = metadata();
    whole["properties"]["apiVersion"] = json!({"type": "string"});
    whole["properties"]["kind"] = json!({"type": "string"});
    whole["required"] = json!(["metadata", "spec"]);
    Schema::new(whole)
});

static SECRET: LazyLock<Schema> = LazyLock::new(|| {
    let texts = json!({"type": "object", "additionalProperties": {"type": "string"}});
    Schema::new(json!({
        "type": "object",
        "required": ["metadata"],
        "properties": {
            "apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": metadata(),
            "type": {"type": "string"}, "immutable": {"type": "boolean"}, "data": texts, "stringData": texts,
        },
    }))
});

fn metadata() -> Value {
    let texts = json!({"type": "object", "additionalProperties": {"type": "string"}});
    let name = json!({"type": "string", "minLength": 1});
    // What the API server writes itself; it is there in objects that were exported from a cluster.
    let any = json!({"x-kubernetes-preserve-unknown-fields": true});
    json!({
        "type": "object",
        "required": ["name"],
        "properties": {
            "name": name, "namespace": name, "labels": texts, "annotations": texts, "finalizers": any,
            "ownerReferences": any, "uid": any, "resourceVersion": any, "generation": any, "generateName": any,
            "creationTimestamp": any, "deletionTimestamp": any, "deletionGracePeriodSeconds": any,
            "managedFields": any, "selfLink": any,
        },
    })
}

/// What `document` is.
pub(super) fn of(document: &Document) -> Result<Kind, Vec<Refusal>> {
    let (group_version, ours) = (ProcessingPipeline::api_version(&()), ProcessingPipeline::kind(&()));
    let refuse = |field: &str, problem: String| Err(vec![document.refuse(field, problem)]);
    match (document.text("apiVersion"), document.text("kind")) {
        (None, _) => refuse("apiVersion", format!("missing; a pipeline has `apiVersion: {group_version}`")),
        (_, None) => refuse("kind", format!("missing; a pipeline has `kind: {ours}`")),
        (Some(version), Some(kind)) if version == group_version && kind == ours => Ok(Kind::Pipeline),
        (Some("v1"), Some("Secret")) => Ok(Kind::Secret),
        (Some(version), Some(kind)) if kind == ours => {
            refuse("apiVersion", format!("`{version}` has no {ours}; write `{group_version}`"))
        }
        (Some(version), Some(kind)) if version.starts_with("warren.dev/") || nearest(kind, [&*ours]).is_some() => {
            refuse("kind", format!("`{kind}` is not known; did you mean `{ours}`?"))
        }
        _ => Ok(Kind::Other),
    }
}

/// The pipeline in `document`.
pub(super) fn pipeline(document: &Document) -> Result<Pipeline, Vec<Refusal>> {
    let resource: ProcessingPipeline = typed(&PIPELINE, document)?;
    validate::validate(&resource)
        .map_err(|invalid| invalid.iter().map(|invalid| document.refuse("", invalid.to_string())).collect())
}

/// The Secret in `document`.
pub(super) fn secret(document: &Document) -> Result<Secret, Vec<Refusal>> {
    typed(&SECRET, document)
}

fn typed<T: serde::de::DeserializeOwned>(schema: &Schema, document: &Document) -> Result<T, Vec<Refusal>> {
    let mut value = document.value.clone();
    let problems = schema.check(&mut value);
    if !problems.is_empty() {
        return Err(problems.into_iter().map(|Problem { path, text, .. }| document.refuse(path, text)).collect());
    }
    serde_json::from_value(value).map_err(|error| vec![document.refuse("", error.to_string())])
}

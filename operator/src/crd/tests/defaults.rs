use super::{super::schema, pipeline};
use kube::core::cel::apply_defaults;
use serde_json::{Value, json};

/// What the API server stores for `written`, and what serde makes of `written`.
fn by_schema_and_by_serde(sections: Value) -> (Value, Value) {
    let mut spec = json!({"broker": {"secretRef": {"name": "rabbitmq", "key": "url"}}, "processor": {}});
    super::merge(&mut spec, sections);
    let written = json!({
        "apiVersion": "warren.dev/v1alpha1", "kind": "ProcessingPipeline", "metadata": {"name": "p"}, "spec": spec,
    });
    let read: super::ProcessingPipeline = serde_json::from_value(written.clone()).expect("a pipeline");
    (apply_defaults(schema::schema(), &written), serde_json::to_value(read).expect("JSON"))
}

#[test]
fn the_schemas_defaults_are_serdes_defaults() {
    for sections in [
        json!({}),
        json!({"processor": {"handler": {"demo": {}}}}),
        json!({"web": {}, "topology": {}, "processor": {"scaling": {}, "retry": {}, "handler": {}}}),
        json!({"topology": {"journal": {}}}),
        json!({"web": {"store": {"sqlite": {}}, "autoscaling": {}}}),
        json!({"web": {"store": {"postgres": {"secretRef": {"name": "db", "key": "url"}}}}}),
        json!({"processor": {"handler": {"exec": {"image": "i", "command": ["c"]}}}}),
        json!({"processor": {"handler": {"http": {"image": "i", "port": 80}}}}),
    ] {
        let (schema, serde) = by_schema_and_by_serde(sections);
        assert_eq!(schema, serde);
    }
}

#[test]
fn a_default_in_the_schema_is_never_a_broken_rule() {
    pipeline(json!({})).validate_cel().expect("the minimal pipeline is valid");
}

#[test]
fn every_field_explains_itself_in_one_line() {
    fn walk(path: &str, node: &Value, silent: &mut Vec<String>) {
        for (name, field) in node["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{name}");
            let description = field["description"].as_str().unwrap_or_default();
            if description.is_empty() || description.contains('\n') {
                silent.push(path.clone());
            }
            walk(&path, field, silent);
        }
    }
    let mut silent = Vec::new();
    walk("spec", &schema::schema()["properties"]["spec"], &mut silent);
    assert_eq!(silent, [""; 0]);
}

#[test]
fn no_field_is_nullable_or_an_unsigned_format() {
    let text = schema::definition().to_string();
    for forbidden in ["nullable", "uint", "anyOf", "oneOf"] {
        assert!(!text.contains(forbidden), "the schema has {forbidden}");
    }
}

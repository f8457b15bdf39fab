//! A partial PodTemplateSpec, read strictly: Kubernetes' own types pass over what they do not know, so a misspelt
//! field would have no effect and no message.

use super::Invalid;
use crate::crd::schema::PodTemplate;
use k8s_openapi::api::core::v1::{Container, PodTemplateSpec};
use serde_json::Value;

/// Reads the template that stands at `field`.
pub(super) fn read(field: &str, written: Option<&PodTemplate>) -> Result<Option<PodTemplateSpec>, Invalid> {
    let Some(written) = written else { return Ok(None) };
    let written = Value::Object(written.clone());
    let refuse = |field: String, problem: String| Invalid::Template { field, problem };
    let template: PodTemplateSpec =
        serde_json::from_value(written.clone()).map_err(|error| refuse(field.to_owned(), error.to_string()))?;
    let understood = serde_json::to_value(&template).map_err(|error| refuse(field.to_owned(), error.to_string()))?;
    if let Some(path) = passed_over(&written, &understood) {
        return Err(refuse(format!("{field}{path}"), "unknown field".to_owned()));
    }
    if let Some(path) = nameless_container(&template) {
        return Err(refuse(
            format!("{field}{path}"),
            "a container without a name; name the one that is meant".to_owned(),
        ));
    }
    Ok(Some(template))
}

/// The first place in `written` that did not survive being `understood`.
fn passed_over(written: &Value, understood: &Value) -> Option<String> {
    match (written, understood) {
        (Value::Object(written), Value::Object(understood)) => written
            .iter()
            .filter(|(_, value)| !is_empty(value))
            .find_map(|(key, value)| below(&format!(".{key}"), value, understood.get(key))),
        (Value::Array(written), Value::Array(understood)) => written
            .iter()
            .enumerate()
            .find_map(|(index, value)| below(&format!("[{index}]"), value, understood.get(index))),
        _ => None,
    }
}

fn below(step: &str, written: &Value, understood: Option<&Value>) -> Option<String> {
    let deeper = match understood {
        None => Some(String::new()),
        Some(understood) => passed_over(written, understood),
    };
    deeper.map(|path| format!("{step}{path}"))
}

/// What may vanish on the way without loss.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

/// Containers are merged by name; one without a name would be merged with none.
fn nameless_container(template: &PodTemplateSpec) -> Option<String> {
    let spec = template.spec.as_ref()?;
    let nameless = |containers: &[Container]| containers.iter().position(|container| container.name.is_empty());
    let main = nameless(&spec.containers).map(|index| format!(".spec.containers[{index}].name"));
    let init = || nameless(spec.init_containers.as_deref()?).map(|index| format!(".spec.initContainers[{index}].name"));
    main.or_else(init)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn refusal(template: Value) -> String {
        let template = template.as_object().expect("an object").clone();
        read("spec.web.template", Some(&template)).expect_err("refused").to_string()
    }

    #[test]
    fn a_partial_template_is_read() {
        let template = json!({
            "metadata": {"annotations": {"team": "images"}},
            "spec": {"nodeSelector": {"disk": "ssd"}, "tolerations": [], "volumes": null,
                     "containers": [{"name": "web-service", "resources": {"limits": {"cpu": "2"}}}]},
        });
        let read = read("spec.web.template", template.as_object()).expect("valid").expect("there");
        let spec = read.spec.expect("a spec");
        assert_eq!(spec.containers[0].name, "web-service");
        assert_eq!(spec.node_selector.expect("there")["disk"], "ssd");
    }

    #[test]
    fn a_misspelt_field_is_named_with_its_path() {
        let text =
            refusal(json!({"spec": {"containers": [{"name": "web-service", "resource": {"limits": {"cpu": "2"}}}]}}));
        assert!(text.starts_with("spec.web.template.spec.containers[0].resource: unknown field; "), "{text}");
    }

    #[test]
    fn a_value_of_the_wrong_type_is_refused() {
        let text = refusal(json!({"spec": {"terminationGracePeriodSeconds": "soon"}}));
        assert!(text.starts_with("spec.web.template: invalid type: string \"soon\""), "{text}");
    }

    #[test]
    fn a_container_without_a_name_is_refused() {
        let text = refusal(json!({"spec": {"initContainers": [{"image": "busybox"}]}}));
        assert!(
            text.starts_with("spec.web.template.spec.initContainers[0].name: a container without a name"),
            "{text}"
        );
    }
}

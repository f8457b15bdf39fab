//! The documents of one YAML file.

use super::refusal::Refusal;
use serde_json::Value;

/// One document that looks like a Kubernetes object.
pub(super) struct Document {
    /// The file it stands in.
    pub file: String,
    /// `Kind/name`, or `document 2` while there is no such thing.
    pub label: String,
    /// Its content: always an object.
    pub value: Value,
}

impl Document {
    /// Something is wrong at `field`; an empty field means the document as a whole.
    pub fn refuse(&self, field: impl Into<String>, problem: impl Into<String>) -> Refusal {
        Refusal {
            file: self.file.clone(),
            document: Some(self.label.clone()),
            field: Some(field.into()),
            problem: problem.into(),
        }
    }

    /// A text at the top of the document.
    pub fn text(&self, field: &str) -> Option<&str> {
        self.value.get(field).and_then(Value::as_str)
    }
}

/// The documents of `text`, each read or refused. Empty ones do not count.
pub(super) fn split(file: &str, text: &str) -> Vec<Result<Document, Refusal>> {
    let mut bytes = text.as_bytes();
    let documents: Vec<Result<Value, serde_yaml::Error>> = serde_yaml::read(&mut bytes).collect();
    let mut count = 0;
    documents
        .into_iter()
        .map(|document| {
            count += 1;
            document.map_err(|error| not_yaml(file, &error)).and_then(|value| object(file, count, value))
        })
        .collect()
}

fn not_yaml(file: &str, error: &serde_yaml::Error) -> Refusal {
    let problem: Vec<_> =
        error.render_with_formatter(&serde_yaml::UserMessageFormatter).split_whitespace().map(str::to_owned).collect();
    Refusal::of_file(file, format!("not YAML: {}", problem.join(" ")))
}

fn object(file: &str, number: usize, value: Value) -> Result<Document, Refusal> {
    let document = Document { file: file.to_owned(), label: label(number, &value), value };
    if document.value.is_object() {
        return Ok(document);
    }
    let problem = "not a Kubernetes object, which begins with apiVersion, kind and metadata";
    Err(Refusal { field: None, ..document.refuse("", problem) })
}

fn label(number: usize, value: &Value) -> String {
    let text = |pointer| value.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty());
    match (text("/kind"), text("/metadata/name")) {
        (Some(kind), Some(name)) => format!("{kind}/{name}"),
        (Some(kind), None) => format!("{kind} (document {number})"),
        (None, _) => format!("document {number}"),
    }
}

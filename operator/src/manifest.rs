//! Pipelines from files on disk, held to the very rules that the API server holds them to, in the same words.
//!
//! A file may have several documents: pipelines, the Secrets they refer to, and anything else, which is passed over
//! and listed. All refusals are collected, so that one run names everything there is to mend.

mod check;
mod document;
mod field_path;
mod kinds;
mod nearest;
mod refusal;
mod schema_errors;
mod secrets;
mod unknown_fields;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

pub use refusal::{Refusal, Refusals};
pub(crate) use secrets::namespace;

use crate::{crd::broker::SecretKeyRef, validate::Pipeline};
use document::Document;
use k8s_openapi::api::core::v1::Secret;
use std::{
    collections::BTreeMap,
    io::Read as _,
    path::{Path, PathBuf},
};

/// What a set of files held.
#[derive(Clone, Debug, Default)]
pub struct Manifest {
    /// The pipelines, validated; at least one.
    pub pipelines: Vec<Pipeline>,
    /// The Secrets.
    pub secrets: Vec<Secret>,
    /// All other documents, as `Kind/name`.
    pub ignored: Vec<String>,
}

impl Manifest {
    /// The value that a pipeline in `namespace` refers to, if a Secret in the files has it.
    #[must_use]
    pub fn secret_value(&self, namespace: Option<&str>, reference: &SecretKeyRef) -> Option<String> {
        secrets::value(&self.secrets, namespace, reference)
    }
}

/// Reads pipelines and Secrets from files; `-` is standard input.
///
/// # Errors
/// Everything that is wrong with any of them, or that there is no pipeline in them.
pub fn read(files: &[PathBuf]) -> Result<Manifest, Refusals> {
    let mut reader = Reader::default();
    for file in files {
        let name = file.display().to_string();
        match content(file) {
            Ok(text) => reader.text(&name, &text),
            Err(problem) => reader.refusals.push(Refusal::of_file(&name, problem)),
        }
    }
    let names: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
    reader.finish(&names.join(", "))
}

/// Reads pipelines and Secrets from a text that came from a file called `file`.
///
/// # Errors
/// Everything that is wrong with it, or that there is no pipeline in it.
pub fn parse(file: &str, text: &str) -> Result<Manifest, Refusals> {
    let mut reader = Reader::default();
    reader.text(file, text);
    reader.finish(file)
}

fn content(file: &Path) -> Result<String, String> {
    if file == Path::new("-") {
        let mut text = String::new();
        return match std::io::stdin().read_to_string(&mut text) {
            Ok(_) => Ok(text),
            Err(error) => Err(format!("standard input cannot be read: {error}")),
        };
    }
    std::fs::read_to_string(file).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            "no such file; check the path, which is taken from the current directory".into()
        }
        std::io::ErrorKind::InvalidData => "not a text in UTF-8, so no YAML either".into(),
        _ => format!("cannot be read: {error}"),
    })
}

/// Goes through documents and keeps what it found.
#[derive(Default)]
struct Reader {
    manifest: Manifest,
    refusals: Vec<Refusal>,
    /// Namespace and name of each pipeline, and the file it stood in.
    seen: BTreeMap<(String, String), String>,
}

impl Reader {
    fn text(&mut self, file: &str, text: &str) {
        for document in document::split(file, text) {
            match document {
                Ok(document) => self.document(document),
                Err(refusal) => self.refusals.push(refusal),
            }
        }
    }

    fn document(&mut self, document: Document) {
        let taken = match kinds::of(&document) {
            Ok(kinds::Kind::Pipeline) => kinds::pipeline(&document).map(|pipeline| self.pipeline(pipeline, &document)),
            Ok(kinds::Kind::Secret) => kinds::secret(&document).map(|secret| self.manifest.secrets.push(secret)),
            Ok(kinds::Kind::Other) => {
                self.manifest.ignored.push(document.label.clone());
                Ok(())
            }
            Err(refusals) => Err(refusals),
        };
        if let Err(refusals) = taken {
            self.refusals.extend(refusals);
        }
    }

    fn pipeline(&mut self, pipeline: Pipeline, document: &Document) {
        let namespace = namespace(pipeline.namespace.as_deref()).to_owned();
        if let Some(first) = self.seen.insert((namespace, pipeline.name.clone()), document.file.clone()) {
            let problem = format!("a second pipeline of this name (the first is in {first}); rename one of them");
            self.refusals.push(document.refuse("metadata.name", problem));
        }
        self.manifest.pipelines.push(pipeline);
    }

    fn finish(mut self, files: &str) -> Result<Manifest, Refusals> {
        if self.refusals.is_empty() && self.manifest.pipelines.is_empty() {
            self.refusals.push(Refusal::of_file(files, self.nothing_found()));
        }
        if self.refusals.is_empty() { Ok(self.manifest) } else { Err(Refusals(self.refusals)) }
    }

    fn nothing_found(&self) -> String {
        let secrets = self
            .manifest
            .secrets
            .iter()
            .map(|secret| format!("Secret/{}", secret.metadata.name.as_deref().unwrap_or_default()));
        let found: Vec<_> = secrets.chain(self.manifest.ignored.iter().cloned()).collect();
        let found = if found.is_empty() { "it is empty".to_owned() } else { format!("found {}", found.join(", ")) };
        format!(
            "no ProcessingPipeline in it ({found}); a pipeline begins with `apiVersion: warren.dev/v1alpha1` and `kind: ProcessingPipeline`"
        )
    }
}

//! How Warren's objects are named and labelled, and thereby found again.

use std::{collections::BTreeMap, fmt};

/// The label that says who manages an object.
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";

/// The value of `app.kubernetes.io/managed-by` on everything that Warren owns.
pub const MANAGED_BY: &str = "warren-operator";

/// One of a pipeline's two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// Accepts requests and keeps results.
    Web,
    /// Runs the user's code.
    Processor,
}

impl Side {
    /// The name of the program on this side.
    #[must_use]
    pub fn program(self) -> &'static str {
        match self {
            Self::Web => "warren-web-service",
            Self::Processor => "warren-processor",
        }
    }

    /// The name of the container in which that program runs.
    #[must_use]
    pub fn container(self) -> &'static str {
        match self {
            Self::Web => "web-service",
            Self::Processor => "processor",
        }
    }

    /// The name of this side's objects: `<pipeline>-web` or `<pipeline>-processor`.
    #[must_use]
    pub fn object_name(self, pipeline: &str) -> String {
        format!("{pipeline}-{self}")
    }

    /// The labels that tell this side's pods from all others. They never change, as selectors cannot.
    #[must_use]
    pub fn selector(self, pipeline: &str) -> BTreeMap<String, String> {
        [("app.kubernetes.io/name", self.program()), ("app.kubernetes.io/instance", pipeline)].map(owned).into()
    }

    /// All labels of this side's objects.
    #[must_use]
    pub fn labels(self, pipeline: &str) -> BTreeMap<String, String> {
        let mut labels = self.selector(pipeline);
        labels.extend([("app.kubernetes.io/part-of", "warren"), (MANAGED_BY_LABEL, MANAGED_BY)].map(owned));
        labels
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Web => "web",
            Self::Processor => "processor",
        })
    }
}

/// The name of the volume claim on which a web side with sqlite keeps its records.
#[must_use]
pub fn store_name(pipeline: &str) -> String {
    format!("{pipeline}-web-store")
}

/// Labels as `kubectl --selector` reads them, and as the scale subresource reports them.
#[must_use]
pub fn selector_text(labels: &BTreeMap<String, String>) -> String {
    labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}

fn owned((key, value): (&str, &str)) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_derived_name_of_the_longest_pipeline_is_a_dns_label() {
        let longest = "a".repeat(50);
        for name in [Side::Web.object_name(&longest), Side::Processor.object_name(&longest), store_name(&longest)] {
            assert!(name.len() <= 63, "{name} has {} characters", name.len());
        }
    }

    #[test]
    fn a_selector_reads_as_kubectl_takes_it() {
        assert_eq!(
            selector_text(&Side::Processor.selector("thumbnails")),
            "app.kubernetes.io/instance=thumbnails,app.kubernetes.io/name=warren-processor"
        );
    }
}

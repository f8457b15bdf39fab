//! What a pipeline's Secrets say: where its broker is, and by whose word it is trusted.

use super::{children::digest, context::Context, problem::Problem};
use crate::crd::{self, ProcessingPipeline};
use kube::ResourceExt as _;
use serde_json::json;
use warren_messaging::broker::{Broker, CaBundle};

/// What a pipeline's Secrets say.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The broker.
    pub broker: Broker,
    /// Changes with the values. Stays in memory: written down, it would tell whether a guessed password is right.
    digest: String,
    /// Changes with the Secrets, even by an edited label.
    versions: String,
}

/// Which credentials the workers were last started with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pinned {
    digest: String,
    revision: String,
}

impl Credentials {
    /// Reads them.
    ///
    /// # Errors
    /// A Secret is missing, or wrong.
    pub async fn read(resource: &ProcessingPipeline, context: &Context) -> Result<Self, Problem> {
        let (spec, namespace) = (&resource.spec.broker, resource.namespace().unwrap_or_default());
        let (url, version) = context.secrets.text("spec.broker.secretRef", &namespace, &spec.secret_ref).await?;
        let (ca, ca_version) = match &spec.ca_secret_ref {
            Some(reference) => context.secrets.text("spec.broker.caSecretRef", &namespace, reference).await?,
            None => Default::default(),
        };
        let (digest, versions) = (digest(&json!([url, ca])), format!("{version}.{ca_version}"));
        let url = url.parse().map_err(|source| Problem::BrokerUrl {
            name: spec.secret_ref.name.clone(),
            key: spec.secret_ref.key.clone(),
            source,
        })?;
        let credentials = Self { broker: Broker { url, ca: certificates(spec, &ca)? }, digest, versions };
        context.note_broker(resource, &credentials.broker);
        Ok(credentials)
    }

    /// What the pods are annotated with, such that they are replaced when a value changes and stay when anything else
    /// of a Secret does. Whoever has forgotten the values (a restarted operator) goes by the Secrets' versions.
    #[must_use]
    pub fn pin(&self, before: Option<&Pinned>) -> Pinned {
        match before {
            Some(pinned) if pinned.digest == self.digest => pinned.clone(),
            _ => Pinned { digest: self.digest.clone(), revision: self.versions.clone() },
        }
    }
}

impl Pinned {
    /// The annotation's value.
    #[must_use]
    pub fn revision(&self) -> &str {
        &self.revision
    }
}

fn certificates(spec: &crd::broker::Broker, text: &str) -> Result<Option<CaBundle>, Problem> {
    let Some(reference) = &spec.ca_secret_ref else { return Ok(None) };
    let parsed = text.parse().map_err(|source| Problem::BrokerCa {
        name: reference.name.clone(),
        key: reference.key.clone(),
        source,
    });
    parsed.map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(digest: &str, versions: &str) -> Credentials {
        let broker = "amqp://h".parse().expect("an address");
        Credentials { broker, digest: digest.into(), versions: versions.into() }
    }

    #[test]
    fn workers_are_replaced_for_a_new_value_and_not_for_a_new_label() {
        let first = credentials("a", "1.").pin(None);
        assert_eq!(first.revision(), "1.");
        assert_eq!(credentials("a", "2.").pin(Some(&first)), first);
        assert_eq!(credentials("b", "3.").pin(Some(&first)).revision(), "3.");
    }
}

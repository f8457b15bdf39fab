//! What a pipeline's Secrets say: where its broker is, by whose word it is trusted, and where its records are kept.

use super::{context::Context, digest::Digest, problem::Problem};
use crate::crd::{self, ProcessingPipeline, broker::SecretKeyRef};
use kube::ResourceExt as _;
use serde_json::json;
use warren_messaging::{
    broker::{Broker, CaBundle},
    broker_url::BrokerUrl,
};

/// What a pipeline's Secrets say.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The broker.
    pub broker: Broker,
    /// What both sides need for it.
    values: Values,
    /// What the web side needs besides, for its database.
    store: Option<Values>,
}

/// Values of Secrets, such that a change of theirs shows.
#[derive(Clone, Debug)]
struct Values {
    /// Changes with the values. Stays in memory: written down, it would tell whether a guessed password is right.
    digest: Digest,
    /// Changes with the Secrets, even by an edited label.
    versions: String,
}

/// Which credentials the workers were last started with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pinned {
    broker: Pin,
    store: Option<Pin>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Pin {
    digest: Digest,
    revision: String,
}

impl Credentials {
    /// Reads those of the broker.
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
        let values = Values { digest: Digest::of(&json!([url, ca])), versions: format!("{version}.{ca_version}") };
        let url = url.parse().map_err(|source| Problem::BrokerUrl {
            name: spec.secret_ref.name.clone(),
            key: spec.secret_ref.key.clone(),
            source,
        })?;
        let looked_up_as = service(&url, &namespace);
        let credentials =
            Self { broker: Broker { url, ca: certificates(spec, &ca)?, looked_up_as }, values, store: None };
        context.note_broker(resource, &credentials.broker);
        Ok(credentials)
    }

    /// The same with those of the database, if `reference` names them. Whoever only needs the broker does without: a
    /// pipeline whose database is gone can still be deleted.
    ///
    /// # Errors
    /// The Secret is missing, or wrong.
    pub async fn with_store(
        self,
        reference: Option<&SecretKeyRef>,
        resource: &ProcessingPipeline,
        context: &Context,
    ) -> Result<Self, Problem> {
        let Some(reference) = reference else { return Ok(self) };
        let namespace = resource.namespace().unwrap_or_default();
        let field = "spec.web.store.postgres.secretRef";
        let (url, versions) = context.secrets.text(field, &namespace, reference).await?;
        if !is_database_url(&url) {
            return Err(Problem::StoreUrl { name: reference.name.clone(), key: reference.key.clone() });
        }
        Ok(Self { store: Some(Values { digest: Digest::of(&json!(url)), versions }), ..self })
    }

    /// What the pods are annotated with, such that they are replaced when a value changes and stay when anything else
    /// of a Secret does. Whoever has forgotten the values (a restarted operator) goes by the Secrets' versions.
    #[must_use]
    pub fn pin(&self, before: Option<&Pinned>) -> Pinned {
        let store_before = before.and_then(|pinned| pinned.store.as_ref());
        Pinned {
            broker: self.values.pin(before.map(|pinned| &pinned.broker)),
            store: self.store.as_ref().map(|values| values.pin(store_before)),
        }
    }
}

impl Values {
    fn pin(&self, before: Option<&Pin>) -> Pin {
        match before {
            Some(pin) if pin.digest == self.digest => pin.clone(),
            _ => Pin { digest: self.digest, revision: self.versions.clone() },
        }
    }
}

impl Pinned {
    /// The same, or those of before where the broker's would be others.
    #[must_use]
    pub fn unless_broker_is_new(self, before: Option<&Self>) -> Self {
        before.filter(|before| before.broker != self.broker).cloned().unwrap_or(self)
    }

    /// The annotation's value on pods that use the broker alone.
    #[must_use]
    pub fn broker(&self) -> &str {
        &self.broker.revision
    }

    /// The annotation's value on pods that use the database too.
    #[must_use]
    pub fn broker_and_store(&self) -> String {
        match &self.store {
            Some(store) => format!("{}.{}", self.broker.revision, store.revision),
            None => self.broker.revision.clone(),
        }
    }
}

/// The Service that a Pod of `namespace`, where the workers run, may mean by this host: a name without a dot is first looked
/// for in a Pod's own namespace (DNS for Services and Pods, Kubernetes). The operator's namespace is mostly another.
fn service(url: &BrokerUrl, namespace: &str) -> Option<String> {
    let host = url.host();
    let is_one = !host.contains(['.', ':']) && host != "localhost";
    is_one.then(|| format!("{host}.{namespace}.svc"))
}

/// The web side reads the rest, and says in its log and its readiness what is wrong with it.
fn is_database_url(text: &str) -> bool {
    let text = text.trim();
    ["postgres://", "postgresql://"].iter().any(|scheme| text.starts_with(scheme))
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

    fn credentials(broker: [&str; 2], store: Option<[&str; 2]>) -> Credentials {
        let values =
            |[digest, versions]: [&str; 2]| Values { digest: Digest::of(&json!(digest)), versions: versions.into() };
        let url = "amqp://h".parse().expect("an address");
        Credentials { broker: url, values: values(broker), store: store.map(values) }
    }

    #[test]
    fn workers_are_replaced_for_a_new_value_and_not_for_a_new_label() {
        let first = credentials(["a", "1."], None).pin(None);
        assert_eq!((first.broker(), first.broker_and_store()), ("1.", "1.".to_owned()));
        assert_eq!(credentials(["a", "2."], None).pin(Some(&first)), first);
        assert_eq!(credentials(["b", "3."], None).pin(Some(&first)).broker(), "3.");
    }

    #[test]
    fn a_broker_that_refuses_new_credentials_leaves_the_workers_with_all_the_old_ones() {
        let first = credentials(["a", "1."], Some(["s", "7"])).pin(None);
        let refused = credentials(["b", "2."], Some(["t", "8"])).pin(Some(&first));
        assert_eq!(refused.clone().unless_broker_is_new(Some(&first)), first);
        let of_database = credentials(["a", "1."], Some(["t", "8"])).pin(Some(&first));
        assert_eq!(of_database.clone().unless_broker_is_new(Some(&first)), of_database);
        assert_eq!(refused.clone().unless_broker_is_new(None), refused, "a restarted operator knows of no others");
    }

    #[test]
    fn a_new_database_password_concerns_the_web_side_alone() {
        let first = credentials(["a", "1."], Some(["s", "7"])).pin(None);
        let labelled = credentials(["a", "1."], Some(["s", "8"])).pin(Some(&first));
        assert_eq!(labelled, first);
        let rotated = credentials(["a", "1."], Some(["t", "9"])).pin(Some(&first));
        assert_eq!(rotated.broker(), first.broker());
        assert_eq!(rotated.broker_and_store(), "1..9");
    }

    #[test]
    fn a_name_without_a_dot_is_a_service_beside_the_workers() {
        let service = |url: &str| service(&url.parse().expect("an address"), "n");
        assert_eq!(service("amqps://rabbitmq/v").as_deref(), Some("rabbitmq.n.svc"));
        let elsewhere = ["amqp://rabbitmq.m", "amqp://localhost", "amqp://10.0.0.7", "amqp://[::1]:5673/"];
        assert_eq!(elsewhere.map(service), [const { None }; 4]);
    }

    #[test]
    fn only_an_address_of_postgresql_is_one() {
        assert!(is_database_url("postgres://u:p@h/d") && is_database_url("postgresql://u:p@h/d\n"));
        assert!(!is_database_url("amqp://h") && !is_database_url(""));
    }
}

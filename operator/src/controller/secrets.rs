//! The Secrets that pipelines refer to.
//!
//! Of all Secrets only names and versions are watched. The values of those that a pipeline refers to are fetched, once
//! per version.

use super::{scope::Scope, watching};
use crate::crd::{ProcessingPipeline, broker::SecretKeyRef};
use futures::{Stream, StreamExt as _, future::ready};
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    Api, Client, ResourceExt as _,
    core::PartialObjectMeta,
    runtime::{
        WatchStreamExt as _,
        reflector::{self, ObjectRef, Store},
        watcher,
    },
};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

/// Secrets that no pipeline refers to, and of which a busy cluster has many.
const OTHERS: &str = "type!=helm.sh/release.v1,type!=kubernetes.io/service-account-token";

type Values = Arc<BTreeMap<String, ByteString>>;

/// Where and what: namespace and name.
type Place = (String, String);

/// Reads Secrets.
pub struct Secrets {
    client: Client,
    versions: Store<PartialObjectMeta<Secret>>,
    fetched: Mutex<HashMap<Place, (String, Values)>>,
}

/// Why a value cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// There is no such Secret.
    #[error("{field}: the Secret `{name}` does not exist in namespace `{namespace}`: create it, or name another one")]
    NotFound {
        /// The field that refers to it.
        field: &'static str,
        /// Its name.
        name: String,
        /// Where it was looked for.
        namespace: String,
    },
    /// The Secret has no such key.
    #[error("{field}: the Secret `{name}` has no key `{key}` ({present}): add it, or name another key")]
    KeyMissing {
        /// The field that refers to it.
        field: &'static str,
        /// The Secret's name.
        name: String,
        /// The key that was asked for.
        key: String,
        /// Which keys it has.
        present: String,
    },
    /// The value is no text.
    #[error("{field}: the value `{key}` of the Secret `{name}` is not UTF-8 text: write it anew")]
    NotText {
        /// The field that refers to it.
        field: &'static str,
        /// The Secret's name.
        name: String,
        /// The key.
        key: String,
    },
    /// The API server did not hand it out.
    #[error("cannot read the Secret `{name}`")]
    Api {
        /// Its name.
        name: String,
        /// What the API server said.
        source: kube::Error,
    },
}

impl Secrets {
    /// Starts watching. The stream names each Secret that was touched, and must be polled.
    pub fn watch(client: &Client, scope: &Scope) -> (Self, impl Stream<Item = ObjectRef<Secret>> + use<>) {
        let (versions, writer) = reflector::store();
        let config = watching::config().fields(OTHERS);
        let api: Api<PartialObjectMeta<Secret>> = scope.api(client);
        let watch = watcher(api, config).modify(keep_version).default_backoff();
        let touched = reflector::reflector(writer, watch).touched_objects().filter_map(|secret| {
            let secret = watching::seen("secrets", secret);
            ready(
                secret.map(|secret| ObjectRef::new(&secret.name_any()).within(&secret.namespace().unwrap_or_default())),
            )
        });
        (Self { client: client.clone(), versions, fetched: Mutex::default() }, touched)
    }

    /// Waits until all that exists has been seen.
    pub async fn ready(&self) {
        // An error means that the watch has ended, and with it the controller.
        let _ = self.versions.wait_until_ready().await;
    }

    /// The text that `field` of a pipeline in `namespace` refers to, and the Secret's version.
    ///
    /// # Errors
    /// See [`SecretError`].
    pub async fn text(
        &self,
        field: &'static str,
        namespace: &str,
        reference: &SecretKeyRef,
    ) -> Result<(String, String), SecretError> {
        let (version, values) = self.values(field, namespace, &reference.name).await?;
        let Some(bytes) = values.get(&reference.key) else {
            let (name, key) = (reference.name.clone(), reference.key.clone());
            return Err(SecretError::KeyMissing { field, name, key, present: present(&values) });
        };
        let text = String::from_utf8(bytes.0.clone()).map_err(|_| SecretError::NotText {
            field,
            name: reference.name.clone(),
            key: reference.key.clone(),
        })?;
        Ok((text, version))
    }

    async fn values(&self, field: &'static str, namespace: &str, name: &str) -> Result<(String, Values), SecretError> {
        let place = (namespace.to_owned(), name.to_owned());
        let Some(version) = self.version(namespace, name) else {
            self.fetched().remove(&place);
            return Err(SecretError::NotFound { field, name: name.into(), namespace: namespace.into() });
        };
        if let Some((_, values)) = self.fetched().get(&place).filter(|(fetched, _)| *fetched == version) {
            return Ok((version, values.clone()));
        }
        let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let secret = api.get(name).await.map_err(|source| SecretError::Api { name: name.into(), source })?;
        let version = secret.resource_version().unwrap_or(version);
        let values = Arc::new(secret.data.unwrap_or_default());
        self.fetched().insert(place, (version.clone(), values.clone()));
        Ok((version, values))
    }

    /// Forgets the values of all but these, each by namespace and name.
    pub fn keep(&self, referred: &HashSet<(String, String)>) {
        self.fetched().retain(|place, _| referred.contains(place));
    }

    fn version(&self, namespace: &str, name: &str) -> Option<String> {
        self.versions.get(&ObjectRef::new(name).within(namespace))?.resource_version()
    }

    fn fetched(&self) -> std::sync::MutexGuard<'_, HashMap<Place, (String, Values)>> {
        self.fetched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The names of the Secrets whose values a pipeline needs here.
pub fn referred(pipeline: &ProcessingPipeline) -> impl Iterator<Item = &str> {
    let (broker, store) = (&pipeline.spec.broker, pipeline.spec.web.store.postgres.as_ref());
    let references = [Some(&broker.secret_ref), broker.ca_secret_ref.as_ref(), store.map(|store| &store.secret_ref)];
    references.into_iter().flatten().map(|reference| reference.name.as_str())
}

fn keep_version(secret: &mut PartialObjectMeta<Secret>) {
    let metadata = std::mem::take(&mut secret.metadata);
    secret.metadata.name = metadata.name;
    secret.metadata.namespace = metadata.namespace;
    secret.metadata.resource_version = metadata.resource_version;
}

fn present(values: &BTreeMap<String, ByteString>) -> String {
    match values.keys().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => "it is empty".into(),
        keys => format!("it has {}", keys.join(", ")),
    }
}

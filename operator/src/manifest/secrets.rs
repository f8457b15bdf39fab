//! Values of Secrets that stand in the same files as the pipelines.

use crate::crd::broker::SecretKeyRef;
use k8s_openapi::api::core::v1::Secret;

/// Where objects are that name no namespace.
const DEFAULT_NAMESPACE: &str = "default";

/// The namespace of what names this one, or none.
pub(crate) fn namespace(given: Option<&str>) -> &str {
    given.unwrap_or(DEFAULT_NAMESPACE)
}

/// The value that a pipeline in `namespace` refers to. As in Kubernetes, `stringData` wins over `data`.
pub(super) fn value(secrets: &[Secret], namespace: Option<&str>, reference: &SecretKeyRef) -> Option<String> {
    let namespace = self::namespace(namespace);
    let secret = secrets.iter().find(|secret| {
        let metadata = &secret.metadata;
        metadata.name.as_deref() == Some(&reference.name) && self::namespace(metadata.namespace.as_deref()) == namespace
    })?;
    let text = secret.string_data.as_ref().and_then(|data| data.get(&reference.key)).cloned();
    text.or_else(|| String::from_utf8(secret.data.as_ref()?.get(&reference.key)?.0.clone()).ok())
}

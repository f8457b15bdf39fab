//! Values of Secrets that stand in the same files as the pipelines.

use crate::crd::broker::SecretKeyRef;
use k8s_openapi::api::core::v1::Secret;

/// Where objects are that name no namespace.
pub(super) const DEFAULT_NAMESPACE: &str = "default";

/// The value that a pipeline in `namespace` refers to. As in Kubernetes, `stringData` wins over `data`.
pub(super) fn value(secrets: &[Secret], namespace: Option<&str>, reference: &SecretKeyRef) -> Option<String> {
    let namespace = namespace.unwrap_or(DEFAULT_NAMESPACE);
    let secret = secrets.iter().find(|secret| {
        let metadata = &secret.metadata;
        metadata.name.as_deref() == Some(&reference.name)
            && metadata.namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE) == namespace
    })?;
    let text = secret.string_data.as_ref().and_then(|data| data.get(&reference.key)).cloned();
    text.or_else(|| String::from_utf8(secret.data.as_ref()?.get(&reference.key)?.0.clone()).ok())
}

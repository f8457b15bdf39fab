//! The identity of one side's pods. It has no rights: the workers speak to RabbitMQ and the store, never to Kubernetes.

use super::metadata;
use crate::{labels::Side, validate::Pipeline};
use k8s_openapi::api::core::v1::ServiceAccount;

pub(super) fn build(pipeline: &Pipeline, side: Side) -> ServiceAccount {
    ServiceAccount {
        metadata: metadata::owned(pipeline, side),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    }
}

//! Where clients in the cluster send requests.

use super::{metadata, web_deployment::HTTP};
use crate::{labels::Side, validate::Pipeline};
use k8s_openapi::{
    api::core::v1::{Service, ServicePort, ServiceSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};

/// The Service's port.
const PORT: i32 = 80;

pub(super) fn build(pipeline: &Pipeline) -> Service {
    let port = ServicePort {
        name: Some(HTTP.into()),
        port: PORT,
        target_port: Some(IntOrString::String(HTTP.into())),
        app_protocol: Some("http".into()),
        protocol: Some("TCP".into()),
        ..ServicePort::default()
    };
    Service {
        metadata: metadata::owned(pipeline, Side::Web),
        spec: Some(ServiceSpec {
            ports: Some(vec![port]),
            selector: Some(Side::Web.selector(&pipeline.name)),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

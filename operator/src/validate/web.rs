//! The web side, validated.

use super::{Invalid, read_duration, read_number, template};
use crate::crd::{
    broker::SecretKeyRef,
    web::{self, WebAutoscaling, WebSpec},
};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use std::time::Duration;

/// The web side that Warren runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Web {
    /// How many replicas run.
    pub replicas: WebReplicas,
    /// Where requests and results are recorded.
    pub store: Store,
    /// How long finished requests can be asked for.
    pub retention: Duration,
    /// How long failed requests can be replayed.
    pub dead_letter_retention: Duration,
    /// Longest accepted request body, in bytes.
    pub max_body_bytes: u64,
    /// What the user merges over the pods.
    pub template: Option<PodTemplateSpec>,
}

/// How many web replicas run.
#[derive(Clone, Debug, PartialEq)]
pub enum WebReplicas {
    /// This many.
    Fixed(i32),
    /// As many as a HorizontalPodAutoscaler decides.
    Autoscaled(WebAutoscaling),
}

impl WebReplicas {
    /// The most that may run at a time.
    #[must_use]
    pub fn at_most(&self) -> i32 {
        match self {
            Self::Fixed(replicas) => *replicas,
            Self::Autoscaled(autoscaling) => autoscaling.max_replicas,
        }
    }
}

/// Where requests and results are recorded.
#[derive(Clone, Debug, PartialEq)]
pub enum Store {
    /// A file on a volume of this size.
    Sqlite {
        /// As a Kubernetes quantity.
        size: String,
    },
    /// A database, whose address is in this secret.
    Postgres(SecretKeyRef),
}

pub(super) fn validate(spec: &WebSpec) -> Result<Option<Web>, Invalid> {
    if !spec.managed {
        return Ok(None);
    }
    let replicas = spec.replicas.unwrap_or(1);
    read_number("spec.web.replicas", replicas, "write 0 or more")?;
    Ok(Some(Web {
        replicas: spec.autoscaling.clone().map_or(WebReplicas::Fixed(replicas), WebReplicas::Autoscaled),
        store: store(&spec.store)?,
        retention: read_duration("spec.web.retention", &spec.retention)?,
        dead_letter_retention: read_duration("spec.web.deadLetterRetention", &spec.dead_letter_retention)?,
        max_body_bytes: max_body_bytes(spec.max_body_bytes)?,
        template: template::read("spec.web.template", spec.template.as_ref())?,
    }))
}

fn store(store: &web::Store) -> Result<Store, Invalid> {
    match (&store.sqlite, &store.postgres) {
        (Some(sqlite), None) => Ok(Store::Sqlite { size: sqlite.size.clone() }),
        (None, Some(postgres)) => Ok(Store::Postgres(postgres.secret_ref.clone())),
        _ => Err(Invalid::NotExactlyOne { field: "spec.web.store", choices: "sqlite and postgres" }),
    }
}

fn max_body_bytes(given: i64) -> Result<u64, Invalid> {
    let field = "spec.web.maxBodyBytes";
    u64::try_from(given).map_err(|_| Invalid::Number { field, given, expected: "write 1 or more" })
}

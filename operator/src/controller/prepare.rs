//! From a stored pipeline to one that can be worked on: its Secrets are read, its spec is possible, its exchange is its
//! own.

use super::{
    context::Context,
    credentials::Credentials,
    problem::Problem,
    rival::{exchange, is_older, is_same_vhost},
    secrets::SecretError,
};
use crate::{
    crd::ProcessingPipeline,
    validate::{self, Pipeline, Store},
};
use kube::ResourceExt as _;
use warren_messaging::broker::Broker;

/// A pipeline with everything that it refers to.
pub struct Prepared {
    /// The pipeline.
    pub pipeline: Pipeline,
    /// What its Secrets say.
    pub credentials: Credentials,
}

/// Reads everything that `resource` refers to.
///
/// # Errors
/// What a person has to mend first.
pub async fn prepare(resource: &ProcessingPipeline, context: &Context) -> Result<Prepared, Problem> {
    let pipeline = validate::validate(resource).map_err(Problem::Invalid)?;
    let credentials = Credentials::read(resource, context).await?;
    let database = pipeline.web.as_ref().and_then(|web| match &web.store {
        Store::Postgres(reference) => Some(reference),
        Store::Sqlite { .. } => None,
    });
    let credentials = credentials.with_store(database, resource, context).await?;
    refuse_rival(resource, &credentials.broker, context).await?;
    Ok(Prepared { pipeline, credentials })
}

/// Looks whether an older pipeline works on the same exchange of the same virtual host.
///
/// # Errors
/// One does, or nobody can tell.
pub async fn refuse_rival(resource: &ProcessingPipeline, ours: &Broker, context: &Context) -> Result<(), Problem> {
    for stored in context.pipelines.state() {
        let Ok(other) = &stored.0 else { continue };
        if exchange(other) != exchange(resource) || !is_older(other, resource) {
            continue;
        }
        let theirs = match Credentials::read(other, context).await {
            Ok(theirs) => Some(theirs.broker),
            Err(problem @ Problem::Secret(SecretError::Api { .. })) => return Err(problem),
            // It keeps what it had: its workers may still run. One that never had a broker claims nothing.
            Err(_) => context.last_broker(other),
        };
        if theirs.is_some_and(|theirs| is_same_vhost(&theirs, ours)) {
            let other = format!("{}/{}", other.namespace().unwrap_or_default(), other.name_any());
            return Err(Problem::ExchangeTaken { exchange: exchange(resource).into(), other });
        }
    }
    Ok(())
}

//! Brings a pipeline's objects into the cluster, and only what differs: at rest no call is made.
//!
//! Server-side apply under one field manager. What the API server answered is remembered as a fingerprint; as long as
//! the watch shows that fingerprint, and the same object is wanted, there is nothing to do.

use super::{
    children::{self, Child, Children},
    context::Context,
    digest::Digest,
    problem::Problem,
};
use crate::{
    crd::ProcessingPipeline,
    labels::{MANAGED_BY, MANAGED_BY_LABEL, Side},
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, Preconditions},
};
use serde_json::Value;
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// The field manager of everything that reconciling writes.
pub const FIELD_MANAGER: &str = "warren-operator";

/// How long the watch may take to show a write. It mostly takes milliseconds.
const SETTLE: Duration = Duration::from_secs(1);

/// What was last applied of a pipeline, by kind and name.
#[derive(Default)]
pub struct Applied(HashMap<(String, String), Memory>);

/// One object as it was wanted, and as the API server then had it; digests of both.
#[derive(Clone, Debug, PartialEq)]
struct Memory {
    wanted: Digest,
    answered: Digest,
}

/// What an apply changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Objects that did not exist, as `Kind name`.
    pub created: Vec<String>,
    /// Objects that had to follow the pipeline.
    pub updated: Vec<String>,
    /// Objects that somebody else had deleted or changed.
    pub repaired: Vec<String>,
    /// Objects that are not needed any more.
    pub pruned: Vec<String>,
}

/// Where a pipeline's objects live.
pub struct Applier<'a> {
    client: &'a Client,
    children: &'a Children,
    namespace: String,
    pipeline: String,
    uid: String,
}

/// Whether, and why, an object has to be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    Nothing,
    Create,
    Update,
    Repair,
}

/// Pure: compares what is wanted with what was answered last time and what the watch shows now.
fn need(wanted: Digest, memory: Option<&Memory>, seen: Option<Digest>) -> Need {
    match (memory, seen) {
        (Some(memory), Some(seen)) if memory.wanted == wanted && memory.answered == seen => Need::Nothing,
        (Some(memory), _) if memory.wanted == wanted => Need::Repair,
        (None, None) => Need::Create,
        _ => Need::Update,
    }
}

impl<'a> Applier<'a> {
    /// For the objects of `pipeline`.
    #[must_use]
    pub fn new(pipeline: &ProcessingPipeline, context: &'a Context) -> Self {
        Self {
            client: &context.client,
            children: &context.children,
            namespace: pipeline.namespace().unwrap_or_default(),
            pipeline: pipeline.name_any(),
            uid: pipeline.uid().unwrap_or_default(),
        }
    }

    /// Applies `wanted` and removes what else the pipeline owns.
    ///
    /// One refused object does not hold the others back; nothing is removed then, though.
    ///
    /// # Errors
    /// The first refusal.
    pub async fn apply(&self, wanted: &[Value], applied: &mut Applied) -> Result<Changes, Problem> {
        let (mut changes, mut outcome) = (Changes::default(), Ok(()));
        for object in wanted {
            let one = self.apply_one(object, applied, &mut changes).await;
            outcome = outcome.and(one);
        }
        if outcome.is_ok() {
            outcome = self.prune(wanted, applied, &mut changes).await;
        }
        if changes != Changes::default() {
            self.settle(applied).await;
        }
        outcome.map(|()| changes)
    }

    /// Waits until the watch shows what was just written: it comes a little later, and would look like drift.
    async fn settle(&self, applied: &Applied) {
        let fingerprint = |(kind, name): &(String, String)| {
            self.children.get(kind, &self.namespace, name).map(|child| child.fingerprint)
        };
        let shown = || applied.0.iter().all(|(key, memory)| fingerprint(key) == Some(memory.answered));
        let deadline = Instant::now() + SETTLE;
        while !shown() && Instant::now() < deadline {
            tokio::time::sleep(SETTLE / 100).await;
        }
    }

    async fn apply_one(&self, object: &Value, applied: &mut Applied, changes: &mut Changes) -> Result<(), Problem> {
        let (kind, name) = identity(object);
        let (key, wanted) = ((kind.to_owned(), name.to_owned()), Digest::of(object));
        let seen = self.children.get(kind, &self.namespace, name);
        let need = need(wanted, applied.0.get(&key), seen.as_ref().map(|child| child.fingerprint));
        if need == Need::Nothing {
            return Ok(());
        }
        self.must_be_ours(object, seen.as_ref()).await?;
        let answered = children::fingerprint(&self.patch(object).await?);
        let unchanged = seen.is_some_and(|child| child.fingerprint == answered);
        applied.0.insert(key, Memory { wanted, answered });
        match need {
            _ if unchanged => {}
            Need::Create => changes.created.push(format!("{kind} {name}")),
            Need::Repair => changes.repaired.push(format!("{kind} {name}")),
            Need::Update | Need::Nothing => changes.updated.push(format!("{kind} {name}")),
        }
        Ok(())
    }

    /// Refuses to take over an object that somebody else made.
    async fn must_be_ours(&self, object: &Value, seen: Option<&Child>) -> Result<(), Problem> {
        let (kind, name) = identity(object);
        let ours = match seen {
            // A claim that outlived an earlier pipeline has no owner, and is ours again.
            Some(child) => child.owner.as_deref().is_none_or(|owner| owner == self.uid),
            // Whatever has not our label is not watched: ask.
            None => self.is_free(kind, name).await?,
        };
        if ours { Ok(()) } else { Err(Problem::NameTaken { kind: kind.into(), name: name.into() }) }
    }

    async fn is_free(&self, kind: &str, name: &str) -> Result<bool, Problem> {
        let found = self.api(kind).get_metadata_opt(name).await.map_err(|error| refused(kind, name, error))?;
        let Some(found) = found else { return Ok(true) };
        let controller = found.owner_references().iter().find(|owner| owner.controller == Some(true));
        let labelled = found.labels().get(MANAGED_BY_LABEL).is_some_and(|manager| manager == MANAGED_BY);
        Ok(match controller {
            Some(owner) => owner.uid == self.uid,
            None => labelled,
        })
    }

    async fn patch(&self, object: &Value) -> Result<DynamicObject, Problem> {
        let (kind, name) = identity(object);
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        let answer = self.api(kind).patch(name, &parameters, &Patch::Apply(object)).await;
        answer.map_err(|error| refused(kind, name, error))
    }

    async fn prune(&self, wanted: &[Value], applied: &mut Applied, changes: &mut Changes) -> Result<(), Problem> {
        for (kind, name) in possible(&self.pipeline) {
            if wanted.iter().any(|object| identity(object) == (kind.as_str(), name.as_str())) {
                continue;
            }
            applied.0.remove(&(kind.clone(), name.clone()));
            if self.remove(&kind, &name).await? {
                changes.pruned.push(format!("{kind} {name}"));
            }
        }
        Ok(())
    }

    /// Deletes an object of the pipeline; false if there is none.
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn remove(&self, kind: &str, name: &str) -> Result<bool, Problem> {
        let Some(child) = self.children.get(kind, &self.namespace, name) else { return Ok(false) };
        if child.owner.as_deref() != Some(self.uid.as_str()) {
            return Ok(false);
        }
        let exactly = Preconditions { uid: Some(child.uid.into()), resource_version: None };
        let parameters = DeleteParams { preconditions: Some(exactly), ..DeleteParams::background() };
        match self.api(kind).delete(name, &parameters).await {
            Ok(_) => Ok(true),
            // Already gone, or another object by now.
            Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(false),
            Err(error) => Err(refused(kind, name, error)),
        }
    }

    fn api(&self, kind: &str) -> Api<DynamicObject> {
        let resource = children::kinds().into_iter().find(|resource| resource.kind == kind);
        let resource = resource.expect("only kinds of this list are built and pruned");
        Api::namespaced_with(self.client.clone(), &self.namespace, &resource)
    }
}

/// Everything that a pipeline could own and no longer need. Records are never among it: they go with the pipeline, if
/// its policy says so, and not with an edit of it.
fn possible(pipeline: &str) -> impl Iterator<Item = (String, String)> + use<> {
    let names = [Side::Web.object_name(pipeline), Side::Processor.object_name(pipeline)];
    let kinds = children::kinds().into_iter().filter(|kind| kind.kind != "PersistentVolumeClaim");
    kinds.flat_map(move |kind| names.clone().map(|name| (kind.kind.clone(), name)))
}

fn identity(object: &Value) -> (&str, &str) {
    (object["kind"].as_str().unwrap_or_default(), object["metadata"]["name"].as_str().unwrap_or_default())
}

/// A refusal of the object as it was built, or of whoever writes it. Both a quota and a missing right are 403: only the
/// words of Kubernetes' RBAC authorizer tell them apart.
fn refused(kind: &str, name: &str, error: kube::Error) -> Problem {
    let is_about_the_object = |code, said: &str| match code {
        403 => !said.contains(" cannot "),
        401 | 404 | 409 | 429 => false,
        code => (400..500).contains(&code),
    };
    match error {
        kube::Error::Api(status) if is_about_the_object(status.code, &status.message) => {
            Problem::ObjectRefused { kind: kind.into(), name: name.into(), said: status.message.clone() }
        }
        source => Problem::Api { doing: format!("write {kind} {name}"), source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_applied_when_it_or_the_wish_for_it_changed_and_not_otherwise() {
        let digest = |text: &str| Digest::of(&text.into());
        let memory = Memory { wanted: digest("w"), answered: digest("a") };
        for (wanted, memory, seen, expected) in [
            ("w", None, None, Need::Create),
            // After a restart nothing is remembered: ask once.
            ("w", None, Some("a"), Need::Update),
            ("w", Some(&memory), Some("a"), Need::Nothing),
            ("w", Some(&memory), Some("edited"), Need::Repair),
            ("w", Some(&memory), None, Need::Repair),
            ("new", Some(&memory), Some("a"), Need::Update),
        ] {
            assert_eq!(need(digest(wanted), memory, seen.map(digest)), expected, "{wanted} {memory:?} {seen:?}");
        }
    }
}

//! All pipelines of the file: what runs follows what the file says.

use super::{
    LocalError, LocalSettings,
    board::Board,
    broker::Broker,
    pipeline::Running,
    plan::{Plan, Site},
    screen,
    side::Surroundings,
    workspace::Workspace,
};
use crate::{
    manifest::{self, Manifest},
    scaling::Autoscaler,
};
use std::{
    collections::{BTreeMap, HashSet},
    path::PathBuf,
    sync::Arc,
};
use tokio_util::sync::CancellationToken;

/// The running pipelines.
pub struct Fleet {
    settings: LocalSettings,
    workspace: Workspace,
    broker: Broker,
    surroundings: Surroundings,
    running: BTreeMap<String, Running>,
}

impl Fleet {
    /// A fleet of which nothing runs yet.
    #[must_use]
    pub fn new(
        settings: LocalSettings,
        workspace: Workspace,
        broker: Broker,
        board: Board,
        abort: CancellationToken,
        http: reqwest::Client,
    ) -> Self {
        let autoscaler = Arc::new(Autoscaler::new(Arc::default(), abort.child_token()));
        let surroundings = Surroundings { workspace: workspace.clone(), board, abort, http, autoscaler };
        Self { settings, workspace, broker, surroundings, running: BTreeMap::new() }
    }

    /// Makes what runs follow the file. Nothing is touched unless every pipeline can run.
    ///
    /// # Errors
    /// A pipeline cannot run here, two share a name or an exchange, or no port is free.
    pub async fn apply(&mut self, manifest: &Manifest) -> Result<(), LocalError> {
        refuse_shared_names(manifest)?;
        let plans = self.plans(manifest)?;
        refuse_shared_exchanges(&plans)?;
        self.refuse_other_queues(&plans)?;
        let gone: Vec<_> = self.running.keys().filter(|name| !plans.contains_key(*name)).cloned().collect();
        for name in gone {
            tracing::info!("pipeline `{name}` is no longer in the file; ending it (its queues and records stay)");
            if let Some(running) = self.running.remove(&name) {
                running.stop().await;
            }
        }
        for (name, plan) in plans {
            self.bring(name, plan).await?;
        }
        Ok(())
    }

    /// Ends everything, in order; our own RabbitMQ last.
    pub async fn stop(self) {
        screen::print(
            "ending: processors finish what they run; Ctrl-C again ends everything at once, and loses nothing",
        );
        futures::future::join_all(self.running.into_values().map(Running::stop)).await;
        let Surroundings { autoscaler, abort, .. } = &self.surroundings;
        autoscaler.keep(&HashSet::new());
        // Before its broker, which it would miss.
        let _ = abort.run_until_cancelled(autoscaler.ended()).await;
        self.broker.stop(abort).await;
        screen::print(&format!("ended; queues and records stay in {}", self.workspace.path().display()));
    }

    /// Tells a newcomer what there is and what to type.
    pub fn greet(&self) {
        for (name, running) in &self.running {
            let Some(port) = running.port() else {
                screen::print(&format!("pipeline `{name}` runs; its web side is somebody else's"));
                continue;
            };
            screen::print(&format!("pipeline `{name}` runs at http://localhost:{port}. Try it:\n"));
            screen::print(&format!(
                "  curl -i localhost:{port}/api/v1/processData -H 'content-type: application/json' -d '{{\"data\":\"hello\"}}'"
            ));
            screen::print(&format!("  curl 'localhost:{port}/api/v1/requests/<requestId>?wait=30s'\n"));
        }
        screen::print("Ctrl-C ends it; what is queued or recorded stays for the next time.");
    }

    fn refuse_other_queues(&self, plans: &BTreeMap<String, Plan>) -> Result<(), LocalError> {
        let stray = |name: &&String| {
            let (new, running) = (plans.get(*name), self.running.get(*name));
            new.zip(running).is_some_and(|(new, running)| !new.may_follow(running.plan()))
        };
        let stray = plans.keys().find(stray);
        stray.map_or(Ok(()), |name| Err(LocalError::Immutable { pipeline: name.clone() }))
    }

    async fn bring(&mut self, name: String, plan: Plan) -> Result<(), LocalError> {
        if let Some(running) = self.running.get_mut(&name) {
            if *running.plan() != plan {
                plan.tell_left_out();
                tracing::info!("pipeline `{name}` was edited; changing to what the file says");
                running.change(plan).await;
            }
            return Ok(());
        }
        plan.tell_left_out();
        let running = Running::start(plan, self.settings.port, self.surroundings.clone()).await?;
        self.running.insert(name, running);
        Ok(())
    }

    fn plans(&self, manifest: &Manifest) -> Result<BTreeMap<String, Plan>, LocalError> {
        let (programs, directory) = (programs(), self.directory());
        let site = Site {
            manifest,
            broker: &self.broker,
            workspace: &self.workspace,
            programs: &programs,
            directory: &directory,
            handler_urls: &self.settings.handler_urls,
        };
        let plans = manifest.pipelines.iter().map(|pipeline| Plan::new(pipeline, &site));
        plans.map(|plan| plan.map(|plan| (plan.name.clone(), plan))).collect()
    }

    /// The file's own directory, so that a handler's command may be a path beside it.
    fn directory(&self) -> PathBuf {
        let parent = self.settings.file.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.map_or_else(|| PathBuf::from("."), PathBuf::from);
        parent.canonicalize().unwrap_or(parent)
    }
}

/// Only their namespaces tell them apart, and there are none here.
fn refuse_shared_names(manifest: &Manifest) -> Result<(), LocalError> {
    let mut namespaces = BTreeMap::new();
    for pipeline in &manifest.pipelines {
        let second = manifest::namespace(pipeline.namespace.as_deref());
        if let Some(first) = namespaces.insert(&pipeline.name, second) {
            let (pipeline, first, second) = (pipeline.name.clone(), first.to_owned(), second.to_owned());
            return Err(LocalError::SharedName { pipeline, first, second });
        }
    }
    Ok(())
}

fn refuse_shared_exchanges(plans: &BTreeMap<String, Plan>) -> Result<(), LocalError> {
    let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, plan) in plans {
        if let Some(first) = owners.insert(plan.exchange(), name) {
            return Err(LocalError::SharedExchange {
                first: first.to_owned(),
                second: name.clone(),
                exchange: plan.exchange().to_owned(),
            });
        }
    }
    Ok(())
}

/// Beside this very program.
fn programs() -> PathBuf {
    let own = std::env::current_exe().ok();
    own.and_then(|path| path.parent().map(PathBuf::from)).unwrap_or_default()
}

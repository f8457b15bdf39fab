//! `warren-operator run`: keeps every `ProcessingPipeline` of a cluster (or of one namespace) as its spec says.
//!
//! Start with [`reconcile`]: it is the one path that every pipeline takes, at every change and every few seconds.

pub mod apply;
pub mod brokers;
pub mod children;
mod cleanup;
pub mod context;
pub mod credentials;
pub mod digest;
pub mod events;
mod examine;
mod handover;
pub mod lease;
pub mod metrics;
mod pace;
mod pods;
mod prepare;
pub mod problem;
pub mod reason;
pub mod reconcile;
mod records;
mod report;
mod rival;
mod scale;
pub mod scope;
pub mod secrets;
pub mod server;
mod side;
pub mod status;
mod topology;
mod watching;

use crate::{build::Images, crd::ProcessingPipeline, scaling::Autoscaler};
use children::Children;
use context::{Context, Stored};
use events::Events;
use futures::{Stream, StreamExt as _, future::ready, stream::BoxStream};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Client, ResourceExt as _,
    runtime::{
        Controller, Predicate as _, WatchStreamExt as _,
        controller::{self, Action},
        predicates,
        reflector::{self, ObjectRef, Store},
        watcher,
    },
};
use metrics::Metrics;
use scope::Scope;
use secrets::Secrets;
use std::{sync::Arc, time::Duration};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How soon a deleted pipeline's queues are not watched any more.
const FORGET: Duration = Duration::from_secs(10);

/// What the controller works with.
pub struct Settings {
    /// Where it works.
    pub scope: Scope,
    /// Images of the workers.
    pub images: Images,
    /// How many pipelines are looked at at a time.
    pub concurrency: u16,
    /// This replica's name.
    pub identity: String,
}

/// Works until `stop` is cancelled, then ends what it is about.
pub async fn run(client: Client, settings: Settings, metrics: Arc<Metrics>, stop: CancellationToken) {
    let concurrency = settings.concurrency;
    let (context, watches) = assemble(client, settings, metrics, &stop);
    let work = TaskTracker::new();
    tokio::select! {
        () = look(context.clone(), watches, concurrency, work.clone(), stop.clone()) => {}
        () = forget(&context) => {}
        // Not kube's graceful shutdown: that also waits until every look that is due some time has come.
        () = async { stop.cancelled().await; work.close(); work.wait().await } => {}
    }
    stop.cancel();
    context.autoscaler.ended().await;
}

/// What brings on a look at a pipeline; each must be polled.
struct Watches {
    pipelines: BoxStream<'static, Result<Stored, watcher::Error>>,
    children: BoxStream<'static, ObjectRef<ProcessingPipeline>>,
    secrets: BoxStream<'static, ObjectRef<Secret>>,
}

/// What all looks share, and the watches that feed it.
fn assemble(
    client: Client,
    settings: Settings,
    metrics: Arc<Metrics>,
    stop: &CancellationToken,
) -> (Arc<Context>, Watches) {
    let (scope, images) = (settings.scope, settings.images);
    let (store, writer) = reflector::store();
    let pipelines = watch_pipelines(&client, &scope, writer);
    let (seen_children, children) = Children::watch(&client, &scope);
    let (seen_secrets, secrets) = Secrets::watch(&client, &scope);
    let events = Events::new(client.clone(), &settings.identity);
    let autoscaler = Autoscaler::new(metrics.scaling.clone(), stop.clone());
    let context = Context::new(client, scope, images, store, seen_children, seen_secrets, events, metrics, autoscaler);
    (Arc::new(context), Watches { pipelines: pipelines.boxed(), children: children.boxed(), secrets: secrets.boxed() })
}

/// Looks at every pipeline that is touched, and at each now and then.
async fn look(context: Arc<Context>, watches: Watches, concurrency: u16, work: TaskTracker, stop: CancellationToken) {
    let (seen, pipelines) = (context.clone(), context.pipelines.clone());
    let reconcile = move |stored, context: Arc<Context>| {
        let stop = stop.clone();
        work.track_future(async move {
            if stop.is_cancelled() {
                return Ok(Action::await_change());
            }
            context.all_seen().await?;
            reconcile::reconcile(stored, context).await
        })
    };
    Controller::for_stream(watches.pipelines, pipelines.clone())
        .with_config(controller::Config::default().concurrency(concurrency))
        .reconcile_on(watches.children.map(as_stored))
        .reconcile_on(referring(watches.secrets, pipelines))
        .run(reconcile, reconcile::after_error, context)
        .for_each(|_| {
            seen.metrics.pipelines.set(i64::try_from(seen.pipelines.len()).unwrap_or(i64::MAX));
            ready(())
        })
        .await;
}

/// Lets go what belonged to pipelines that are gone.
async fn forget(context: &Context) {
    let mut clock = tokio::time::interval(FORGET);
    loop {
        clock.tick().await;
        context.forget_deleted();
    }
}

/// All pipelines; an edit of the spec, an annotation or a finalizer comes through, a new status does not.
fn watch_pipelines(
    client: &Client,
    scope: &Scope,
    writer: reflector::store::Writer<Stored>,
) -> impl Stream<Item = Result<Stored, watcher::Error>> + Send + use<> {
    let watch = watcher(scope.api(client), watching::config()).modify(forget_what_kubectl_notes).default_backoff();
    reflector::reflector(writer, watch)
        .applied_objects()
        .inspect(|seen| {
            if let Err(error) = seen {
                watching::complain("processingpipelines", error);
            }
        })
        .predicate_filter(
            predicates::generation.combine(predicates::finalizers).combine(predicates::annotations),
            Default::default(),
        )
}

/// The pipelines that refer to a Secret that was touched.
fn referring(
    secrets: impl Stream<Item = ObjectRef<Secret>> + Send + 'static,
    pipelines: Store<Stored>,
) -> impl Stream<Item = ObjectRef<Stored>> + Send + 'static {
    secrets.flat_map(move |secret| {
        let referring = pipelines.state().into_iter().filter(move |stored| refers(stored, &secret));
        futures::stream::iter(referring.map(|stored| ObjectRef::from_obj(&*stored)).collect::<Vec<_>>())
    })
}

fn refers(stored: &Stored, secret: &ObjectRef<Secret>) -> bool {
    let Ok(pipeline) = &stored.0 else { return false };
    pipeline.namespace() == secret.namespace && secrets::referred(pipeline).any(|name| name == secret.name)
}

/// `kubectl apply` keeps the whole resource once more beside it.
fn forget_what_kubectl_notes(stored: &mut Stored) {
    let metadata = kube::Resource::meta_mut(stored);
    metadata.managed_fields = None;
    if let Some(annotations) = &mut metadata.annotations {
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    }
}

fn as_stored(pipeline: ObjectRef<ProcessingPipeline>) -> ObjectRef<Stored> {
    ObjectRef::new(&pipeline.name).within(pipeline.namespace.as_deref().unwrap_or_default())
}

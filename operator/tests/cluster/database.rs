//! Several web replicas on one PostgreSQL database.

use super::site::{SECONDS, SOON, Site, pipeline, secret};
use serde_json::{Value, json};
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use warren_testkit::{
    cluster,
    postgres::{self, Database},
    proxy::Proxy,
};

/// The metrics server measures every 15 s, and Kubernetes' autoscaler looks as often.
const HPA: Duration = Duration::from_secs(180);

/// A database whose owner is a role of its own, and the way for Pods to it.
struct Records {
    database: Database,
    network: Proxy,
    role: String,
}

impl Records {
    async fn new() -> Self {
        let database = postgres::database("cluster").await;
        let role = format!("{}_owner", database.name());
        let name = database.name();
        let statements = format!("CREATE ROLE {role} LOGIN PASSWORD 'one'; ALTER DATABASE {name} OWNER TO {role}");
        database.execute(&statements).await;
        let (_, place) = database.url().split_once('@').map(|(a, b)| (a.to_owned(), b.to_owned())).expect("has a user");
        let network = cluster::reachable(place.split('/').next().expect("a host and port"));
        Self { database, network, role }
    }

    fn secret(&self, password: &str) -> String {
        secret("db", json!({"url": self.network.url(&self.database.url_as(&self.role, password))}))
    }
}

fn web(replicas: Value) -> String {
    let mut web = json!({"store": {"postgres": {"secretRef": {"name": "db", "key": "url"}}}});
    web.as_object_mut().expect("an object").extend(replicas.as_object().expect("an object").clone());
    pipeline("p", json!({"web": web}))
}

fn revision(deployment: &Value) -> Value {
    deployment["spec"]["template"]["metadata"]["annotations"]["warren.dev/secrets"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_share_a_database_and_a_rotated_password_replaces_them_alone() {
    let Some(site) = Site::new("replicas").await else { return };
    let (records, namespace) = (Records::new().await, &site.namespace);
    site.apply(&records.secret("one")).await;
    site.apply(&web(json!({"replicas": 2}))).await;
    site.ready("p").await;
    let before = namespace.get("deployment", "p-web").await.expect("is there");
    assert_eq!(
        (&before["spec"]["replicas"], &before["spec"]["strategy"]["type"]),
        (&json!(2), &json!("RollingUpdate"))
    );
    assert!(namespace.get("pvc", "p-web-store").await.is_none(), "records are in the database");
    assert!(namespace.get("poddisruptionbudget", "p-web").await.is_some());

    let base = site.base("p").await;
    let mut ids = Vec::new();
    for number in 0..20 {
        ids.push((number, site.submit(&base, json!(format!("{number}"))).await));
    }
    for (number, id) in &ids {
        assert_eq!(site.outcome(&base, id).await["result"], format!("{number}-processed"));
    }

    let processors = namespace.get("deployment", "p-processor").await.expect("is there");
    records.database.execute(&format!("ALTER ROLE {} PASSWORD 'two'", records.role)).await;
    site.apply(&records.secret("two")).await;
    let rolled = |deployment: &Value| revision(deployment) != revision(&before);
    namespace.get_when("deployment", "p-web", "the web Pods to be replaced", SECONDS, rolled).await;
    site.ready("p").await;
    let after = namespace.get("deployment", "p-processor").await.expect("is there");
    assert_eq!(revision(&after), revision(&processors), "processors do not use the database");
    let id = site.submit(&base, json!("later")).await;
    assert_eq!(site.outcome(&base, &id).await["result"], "later-processed");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_autoscaler_takes_the_replicas_over_as_they_are_and_gives_them_back() {
    let Some(site) = Site::new("autoscaler").await else { return };
    let (records, namespace) = (Records::new().await, &site.namespace);
    site.apply(&records.secret("one")).await;
    site.apply(&web(json!({"replicas": 3}))).await;
    namespace.get_when("deployment", "p-web", "3 replicas", SECONDS, |object| object["spec"]["replicas"] == 3).await;
    let before = namespace.get("deployment", "p-web").await.expect("is there");

    site.apply(&web(json!({"autoscaling": {"minReplicas": 2, "maxReplicas": 4}}))).await;
    let exists = |object: &Value| object["spec"]["maxReplicas"] == 4;
    namespace.get_when("hpa", "p-web", "an autoscaler", SECONDS, exists).await;
    let after = namespace.get("deployment", "p-web").await.expect("is there");
    assert_eq!(after["spec"]["replicas"], 3, "not Kubernetes' default of 1");
    // Each write of another number counts the generation up; the template did not change.
    let generation = |object: &Value| object["metadata"]["generation"].as_i64().expect("a number");
    assert_eq!(generation(&after), generation(&before), "never another number in between");

    site.apply(&web(json!({"replicas": 1}))).await;
    namespace.get_when("deployment", "p-web", "1 replica", SECONDS, |object| object["spec"]["replicas"] == 1).await;
    namespace.gone("hpa", "p-web", SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn load_on_the_web_side_brings_web_replicas_while_processors_follow_their_backlog() {
    let Some(site) = Site::new("load").await else { return };
    let (records, namespace) = (Records::new().await, &site.namespace);
    site.apply(&records.secret("one")).await;
    // A processor is never behind, so one is enough however many requests come.
    let processor = json!({"handler": {"demo": {"delay": "0s"}}, "concurrency": 32, "scaling": {"minReplicas": 1}});
    let autoscaling = json!({"minReplicas": 1, "maxReplicas": 3, "targetCPUUtilizationPercentage": 40});
    let store = json!({"postgres": {"secretRef": {"name": "db", "key": "url"}}});
    let web = json!({"store": store, "autoscaling": autoscaling});
    site.apply(&pipeline("p", json!({"web": web, "processor": processor}))).await;
    site.ready("p").await;

    let (base, stop) = (site.base("p").await, AtomicBool::new(false));
    let client = async |client: usize| {
        let mut ids = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            ids.push(site.submit(&base, json!(client)).await);
        }
        ids
    };
    let grown = async {
        let grown = |object: &Value| object["status"]["readyReplicas"].as_i64() > Some(1);
        namespace.get_when("deployment", "p-web", "more than one web replica", HPA, grown).await;
        stop.store(true, Ordering::Relaxed);
    };
    let (ids, ()) = tokio::join!(futures::future::join_all((0..16).map(client)), grown);
    for id in ids.concat().iter().rev().step_by(50) {
        assert_eq!(site.outcome(&base, id).await["status"], "succeeded");
    }
    let processors = namespace.get("deployment", "p-processor").await.expect("is there");
    assert!(processors["spec"]["replicas"].as_i64() < Some(20), "the web side's load is not theirs");
}

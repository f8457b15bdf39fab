//! Several web replicas on one PostgreSQL database.

use super::site::{SECONDS, SOON, Site, pipeline, secret};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use warren_testkit::{
    cluster, eventually,
    postgres::{self, Database},
    proxy::Proxy,
};

/// The metrics server measures every 15 s, and Kubernetes' autoscaler looks as often.
const HPA: Duration = Duration::from_secs(180);
/// A replica goes after five quiet minutes.
const HPA_DOWN: Duration = Duration::from_secs(480);

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
async fn web_replicas_come_with_load_and_go_without_it_while_processors_follow_their_backlog() {
    let Some(site) = Site::new("load").await else { return };
    let (records, namespace) = (Records::new().await, &site.namespace);
    site.apply(&records.secret("one")).await;
    // A processor is never behind, so one is enough however many requests come.
    let processor = json!({"handler": {"demo": {"delay": "0s"}}, "concurrency": 32, "scaling": {"minReplicas": 1}});
    let autoscaling = json!({"minReplicas": 1, "maxReplicas": 2, "targetCPUUtilizationPercentage": 40});
    let store = json!({"postgres": {"secretRef": {"name": "db", "key": "url"}}});
    let web = json!({"store": store, "autoscaling": autoscaling});
    site.apply(&pipeline("p", json!({"web": web, "processor": processor}))).await;
    site.ready("p").await;

    let base = site.base("p").await;
    let replicas_when = async |what: &str, deadline, count: i64| {
        let there = |object: &Value| object["spec"]["replicas"] == count && object["status"]["readyReplicas"] == count;
        namespace.get_when("deployment", "p-web", what, deadline, there).await;
    };
    let mut ids = send_until(&site, &base, 16, Duration::ZERO, replicas_when("two web replicas", HPA, 2)).await;
    let processors = namespace.get("deployment", "p-processor").await.expect("is there");
    assert!(processors["spec"]["replicas"].as_i64() < Some(20), "the web side's load is not theirs");
    // One client goes on while a replica goes.
    let pause = Duration::from_millis(500);
    ids.extend(send_until(&site, &base, 1, pause, replicas_when("one web replica", HPA_DOWN, 1)).await);
    eventually("every accepted request to be done", SOON, async || {
        let done = site.succeeded(&base).await?;
        let open = ids.iter().filter(|id| !done.contains(*id)).count();
        if open == 0 { Ok(()) } else { Err(format!("{open} of {} are not", ids.len())) }
    })
    .await;
}

/// Requests of so many clients until something has come about; all ids that were given.
async fn send_until(
    site: &Site,
    base: &str,
    clients: usize,
    pause: Duration,
    until: impl Future<Output = ()>,
) -> Vec<String> {
    let stop = AtomicBool::new(false);
    let client = async |client: usize| {
        let mut ids = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            ids.push(site.submit(base, json!(client)).await);
            tokio::time::sleep(pause).await;
        }
        ids
    };
    let until = async {
        until.await;
        stop.store(true, Ordering::Relaxed);
    };
    tokio::join!(futures::future::join_all((0..clients).map(client)), until).0.concat()
}

impl Site {
    /// Ids of the requests that are done.
    async fn succeeded(&self, base: &str) -> Result<BTreeSet<String>, String> {
        let (mut done, mut cursor) = (BTreeSet::new(), String::new());
        loop {
            let answer = reqwest::get(format!("{base}/api/v1/requests?limit=500{cursor}")).await;
            let page = answer.map_err(|error| error.to_string())?.json::<Value>().await;
            let page = page.map_err(|error| error.to_string())?;
            let records = page["requests"].as_array().ok_or_else(|| page.to_string())?;
            let succeeded = records.iter().filter(|record| record["status"] == "succeeded");
            done.extend(succeeded.filter_map(|record| Some(record["requestId"].as_str()?.to_owned())));
            match &page["nextCursor"] {
                Value::String(next) => cursor = format!("&cursor={next}"),
                _ => return Ok(done),
            }
        }
    }
}

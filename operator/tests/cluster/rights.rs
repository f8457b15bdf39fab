//! The chart's role has what the operator needs, and nothing that it does not use: what the API server noted of its
//! requests is compared with what it may do.

use super::{
    helm::Release,
    site::{SECONDS, SOON, cluster_with_crd, condition, pipeline, secret},
};
use serde_json::{Value, json};
use std::{collections::BTreeSet, fs};
use warren_testkit::{
    broker::{Vhost, vhost},
    cluster::{Namespace, reachable},
    eventually,
    proxy::Proxy,
};

/// A verb on a resource of an API group.
type Right = (String, String, String);

/// Rights that no request shows.
const UNSEEN: [(&str, &str, &str); 3] = [
    // Clusters that check who may keep an owner from being deleted ask for it.
    ("warren.dev", "processingpipelines/finalizers", "update"),
    // Somebody has deleted the Lease that the chart brings.
    ("coordination.k8s.io", "leases", "create"),
    // An Event that is repeated within minutes.
    ("events.k8s.io", "events", "patch"),
];

#[tokio::test(flavor = "multi_thread")]
async fn the_charts_role_allows_what_the_operator_does_and_nothing_else() {
    let Some(cluster) = cluster_with_crd().await else { return };
    let Some(log) = cluster.audit_log() else {
        return eprintln!("left out: this cluster's API server writes no audit log that can be read here");
    };
    let (namespace, vhost) = (cluster.namespace("rights").await, vhost("rights").await);
    let release = Release::install(&cluster, &namespace).await;
    let host = reqwest::Url::parse(&vhost.url()).expect("a URL").port().expect("a port of its own");
    let network = reachable(format!("127.0.0.1:{host}"));
    let url = beside_the_workers(&namespace, &network, &vhost).await;
    namespace.apply(&secret("rabbitmq", json!({"url": url}))).await.expect("is accepted");
    do_everything(&namespace, &vhost).await;

    let used = eventually("the audit log to be complete", SECONDS, async || {
        let log = fs::read_to_string(&log).map_err(|error| error.to_string())?;
        let used = used(&log, release.system.name());
        let deleted = ("apps".into(), "deployments".into(), "delete".into());
        if used.contains(&deleted) { Ok(used) } else { Err(format!("{used:?}")) }
    })
    .await;
    let granted = granted(&[&namespace, &release.system]).await;
    let unseen: BTreeSet<_> = UNSEEN.map(|(group, what, verb)| (group.into(), what.into(), verb.into())).into();
    let idle: Vec<_> = granted.difference(&used).filter(|right| !unseen.contains(*right)).collect();
    assert!(idle.is_empty(), "granted, and never used: {idle:#?}");
    let missing: Vec<_> = used.difference(&granted).collect();
    assert!(missing.is_empty(), "used, and not granted by the chart: {missing:#?}");
    release.uninstall().await;
}

/// The broker's address by a Service of the pipeline's namespace, which is not the operator's.
async fn beside_the_workers(namespace: &Namespace, network: &Proxy, vhost: &Vhost) -> String {
    let (ip, port) = (network.address().ip(), network.address().port());
    let ports = json!([{"name": "amqp", "port": port}]);
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "rabbitmq"},
        "spec": {"clusterIP": "None", "ports": ports}});
    let slice = json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": "rabbitmq", "labels": {"kubernetes.io/service-name": "rabbitmq"}},
        "endpoints": [{"addresses": [ip]}], "ports": ports});
    for object in [service, slice] {
        namespace.apply(&object.to_string()).await.expect("is accepted");
    }
    network.url(&vhost.url()).replace(&ip.to_string(), "rabbitmq")
}

/// Everything that an operator does, once.
async fn do_everything(namespace: &Namespace, vhost: &Vhost) {
    // Nobody has to answer at this address.
    let database = secret("db", json!({"url": "postgres://u:p@127.0.0.1:1/d"}));
    namespace.apply(&database).await.expect("is accepted");
    let with = |name: &str, spec: Value| {
        let spec =
            json!({"topology": {"deletionPolicy": "Delete"}, "web": spec["web"], "processor": spec["processor"]});
        pipeline(name, spec)
    };
    let scaling = json!({"maxReplicas": 2, "backlogPerReplica": 1, "idleSeconds": 0});
    let processor = json!({"handler": {"demo": {"delay": "10s"}}, "scaling": scaling});
    let store = json!({"postgres": {"secretRef": {"name": "db", "key": "url"}}});
    let autoscaling = json!({"minReplicas": 2, "maxReplicas": 3});
    let shared = with("p", json!({"web": {"store": store, "autoscaling": autoscaling}, "processor": processor}));
    let single = with("q", json!({"web": {}, "processor": {"managed": false}}));
    for manifest in [&shared, &single] {
        namespace.apply(manifest).await.expect("is accepted");
    }
    let declared = |object: &Value| condition(object, "TopologyReady")["status"] == "True";
    for name in ["p", "q"] {
        namespace.get_when("pp", name, "its queues", SOON, declared).await;
    }
    // Requests without a web side: processors come and go. Enough for both, however late the second one is, and not as many
    // for one as for the other: then one of them goes first.
    for number in 0..5 {
        vhost.publish("p", "request", json!({"requestId": number, "requestData": 1}).to_string()).await;
    }
    let ready = |count: i64| move |object: &Value| object["status"]["readyReplicas"].as_i64().unwrap_or(0) == count;
    namespace.get_when("deployment", "p-processor", "two processors", SOON, ready(2)).await;
    let asked = |object: &Value| object["spec"]["replicas"] == 0;
    namespace.get_when("deployment", "p-processor", "no processor", SOON, asked).await;

    let nobody = json!({"web": {"managed": false}, "processor": {"managed": false}});
    namespace.apply(&with("p", nobody)).await.expect("is accepted");
    for kind in
        ["deployment/p-web", "service/p-web", "hpa/p-web", "pdb/p-web", "networkpolicy/p-web", "serviceaccount/p-web"]
    {
        let (kind, name) = kind.split_once('/').expect("kind and name");
        namespace.gone(kind, name, SOON).await;
    }
    namespace.kubectl(&["delete", "pp", "p", "q", "--wait=false"]).await.expect("are deleted");
    for name in ["p", "q"] {
        namespace.gone("pp", name, SOON).await;
    }
    namespace.gone("pvc", "q-web-store", SOON).await;
}

/// What the service accounts of a namespace did, by the API server's own notes.
fn used(log: &str, system: &str) -> BTreeSet<Right> {
    let account = format!("system:serviceaccount:{system}:");
    let mut used = BTreeSet::new();
    for event in log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        let reference = &event["objectRef"];
        let is_theirs = event["user"]["username"].as_str().is_some_and(|name| name.starts_with(&account));
        let Some(resource) = reference["resource"].as_str().filter(|_| is_theirs) else { continue };
        let what = match reference["subresource"].as_str() {
            Some(part) => format!("{resource}/{part}"),
            None => resource.to_owned(),
        };
        let group = reference["apiGroup"].as_str().unwrap_or_default();
        let mut right = |verb: &str| used.insert((group.to_owned(), what.clone(), verb.to_owned()));
        right(event["verb"].as_str().unwrap_or_default());
        // An apply that makes an object needs this, too.
        if event["verb"] == "patch" && event["responseStatus"]["code"] == 201 {
            right("create");
        }
    }
    used
}

/// What the roles in these namespaces allow.
async fn granted(namespaces: &[&Namespace]) -> BTreeSet<Right> {
    let mut granted = BTreeSet::new();
    for namespace in namespaces {
        let roles = namespace.kubectl(&["get", "roles", "-o", "json"]).await.expect("a list");
        let roles: Value = serde_json::from_str(&roles).expect("JSON");
        let items = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let words = |value: &Value| items(value).iter().filter_map(|word| Some(word.as_str()?.to_owned())).collect();
        for rule in items(&roles["items"]).iter().flat_map(|role| items(&role["rules"])) {
            let [groups, resources, verbs]: [Vec<String>; 3] =
                ["apiGroups", "resources", "verbs"].map(|part| words(&rule[part]));
            for (group, resource) in groups.iter().flat_map(|group| resources.iter().map(move |one| (group, one))) {
                granted.extend(verbs.iter().map(|verb| (group.clone(), resource.clone(), verb.clone())));
            }
        }
    }
    granted
}

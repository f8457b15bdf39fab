//! The whole way: install the chart, apply pipelines, send requests, break everything, upgrade everything, take it all
//! away again.

use super::{
    helm::Release,
    site::{SECONDS, SOON, cluster_with_crd, pipeline, secret},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};
use tokio::sync::Mutex;
use warren_testkit::{
    broker,
    cluster::{Namespace, reachable},
    eventually,
};

const REQUESTS: usize = 1000;
const CLIENTS: usize = 8;
const PATIENCE: Duration = Duration::from_secs(300);

/// The result of the number that was sent.
type Expected = fn(usize) -> Value;

/// A pipeline, what is sent to it, and what must come back.
struct Line {
    name: &'static str,
    base: String,
    expected: Expected,
}

/// What was accepted: pipeline and id, and the number that was sent.
type Accepted = Mutex<BTreeMap<(&'static str, String), usize>>;

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_requests_survive_upgrades_kills_restarts_and_a_rotation() {
    let Some(cluster) = cluster_with_crd().await else { return };
    let namespace = cluster.namespace("journey").await;
    let release = Release::install(&cluster, &namespace).await;
    release.test().await;
    let mut node = broker::private().await;
    let network = reachable(format!("127.0.0.1:{}", node.amqp_port()));
    let url = network.url(&node.url());
    apply(&namespace, &secret("rabbitmq", json!({"url": url}))).await;
    let lines = lines(&namespace).await;

    let (accepted, refused) = (Accepted::default(), AtomicUsize::new(0));
    let clients = (0..CLIENTS).map(|client| send(client, &lines, &accepted, &refused));
    let faults = async {
        progress(&accepted, 100).await;
        kill_containers("warren-processor", &namespace).await;
        progress(&accepted, 200).await;
        let leader = release.leader().await;
        release.system.kubectl(&["delete", "pod", &leader, "--wait=false"]).await.expect("is deleted");
        progress(&accepted, 300).await;
        node.kill();
        node.start_again().await.expect("starts");
        progress(&accepted, 450).await;
        apply(&namespace, &secret("rabbitmq", json!({"url": format!("{url}?heartbeat=11")}))).await;
        progress(&accepted, 600).await;
        kill_containers("warren-web-service", &namespace).await;
        progress(&accepted, 700).await;
        let next = ["operator", "web-service", "processor"].map(|image| next_version(&cluster, image));
        let [operator, web, processor] = futures::future::join_all(next).await.try_into().expect("three");
        let values = [("operator", operator), ("webService", web), ("processor", processor)];
        let values = values.map(|(image, tag)| format!("images.{image}={tag}"));
        release.upgrade(&values.each_ref().map(String::as_str)).await;
    };
    tokio::join!(futures::future::join_all(clients), faults);
    eprintln!("{} submits were refused with an honest 503 on the way", refused.load(Ordering::Relaxed));

    let accepted = accepted.into_inner();
    assert_eq!(accepted.len(), REQUESTS, "no id is given twice");
    for line in &lines {
        let promised = accepted.iter().filter(|((name, _), _)| *name == line.name);
        let promised: BTreeMap<_, _> = promised.map(|((_, id), number)| (id.clone(), *number)).collect();
        every_result_is_recorded_once(line, &promised).await;
    }
    upgraded(&namespace).await;
    let logs = release.logs().await;
    assert!(!logs.contains("forbidden"), "the chart's role is too small: {logs}");
    take_away(&namespace, &release).await;
}

/// One pipeline of each kind.
async fn lines(namespace: &Namespace) -> Vec<Line> {
    let demo = json!({"handler": {"demo": {"delay": "5ms"}}, "concurrency": 4, "scaling": {"minReplicas": 2}});
    apply(namespace, &pipeline("demo", json!({"processor": demo}))).await;
    for example in ["http.yaml", "exec-stream.yaml"] {
        let path = format!("{}/../examples/{example}", env!("CARGO_MANIFEST_DIR"));
        apply(namespace, &fs::read_to_string(path).expect("the example")).await;
    }
    let expectations: [(&str, Expected); 3] = [
        ("demo", |number| json!(format!("{number}-processed"))),
        ("shout", |number| json!(format!("NUMBER {number}"))),
        ("primes", |number| json!({"primes": (2..number).filter(|n| (2..*n).all(|d| n % d != 0)).count()})),
    ];
    let mut lines = Vec::new();
    for (name, expected) in expectations {
        namespace
            .kubectl(&["wait", "--for=condition=Ready", &format!("pp/{name}"), "--timeout=120s"])
            .await
            .expect("gets ready");
        let service = namespace.get("service", &format!("{name}-web")).await.expect("a Service");
        let base = format!("http://{}", service["spec"]["clusterIP"].as_str().expect("an address"));
        lines.push(Line { name, base, expected });
    }
    lines
}

fn data(line: &Line, number: usize) -> Value {
    match line.name {
        "demo" => json!(number.to_string()),
        "shout" => json!(format!("number {number}")),
        _ => json!(number),
    }
}

/// Sends one client's share, each request until it is accepted.
async fn send(client: usize, lines: &[Line], accepted: &Accepted, refused: &AtomicUsize) {
    let http = Client::builder().timeout(SECONDS).build().expect("a client");
    for number in (client..REQUESTS).step_by(CLIENTS) {
        // The line with a costly start gets a tenth.
        let line = &lines[[0, 1, 0, 1, 0, 1, 0, 1, 0, 2][number / CLIENTS % 10]];
        let id = eventually("a submit to be accepted", PATIENCE, async || {
            let request =
                http.post(format!("{}/api/v1/processData", line.base)).json(&json!({"data": data(line, number)}));
            // A Pod that is replaced answers nothing; then nothing was promised.
            let answer = request.send().await.map_err(|error| format!("{error:?}"))?;
            if answer.status() == StatusCode::SERVICE_UNAVAILABLE {
                assert!(answer.headers().contains_key("retry-after"), "a 503 says when to come again");
                refused.fetch_add(1, Ordering::Relaxed);
                return Err("503".to_owned());
            }
            assert_eq!(answer.status(), StatusCode::ACCEPTED, "{}", answer.text().await.unwrap_or_default());
            let body: Value = answer.json().await.map_err(|error| format!("{error:?}"))?;
            Ok(body["requestId"].as_str().expect("an id").to_owned())
        })
        .await;
        accepted.lock().await.insert((line.name, id), number);
    }
}

async fn progress(accepted: &Accepted, count: usize) {
    let look = async || {
        let so_far = accepted.lock().await.len();
        if so_far >= count { Ok(()) } else { Err(format!("{so_far} are accepted")) }
    };
    eventually(&format!("{count} requests to be accepted"), PATIENCE, look).await;
}

/// Kills (-9) a program in all Pods of the namespace, as a node's out-of-memory killer does. A Pod that is just being
/// replaced has none: it is waited for.
async fn kill_containers(program: &str, namespace: &Namespace) {
    let ids = eventually(&format!("{program} to run"), SOON, async || {
        let ids = processes(program, namespace).await;
        if ids.is_empty() { Err("it runs in no Pod") } else { Ok(ids) }
    })
    .await;
    for id in ids {
        let _ = kill(id, Signal::SIGKILL);
    }
}

/// The processes of a program in the Pods of the namespace.
async fn processes(program: &str, namespace: &Namespace) -> Vec<Pid> {
    let pods = namespace.kubectl(&["get", "pods", "-o", "json"]).await.expect("pods");
    let pods: Value = serde_json::from_str(&pods).expect("JSON");
    let uids = pods["items"].as_array().expect("a list").iter().filter_map(|pod| pod["metadata"]["uid"].as_str());
    let uids: Vec<_> = uids.map(str::to_owned).collect();
    let ours = |process: &fs::DirEntry| {
        let read = |file: &str| fs::read_to_string(process.path().join(file)).unwrap_or_default();
        read("cmdline").contains(program) && uids.iter().any(|uid| read("cgroup").contains(uid.as_str()))
    };
    let ids = fs::read_dir("/proc").expect("Linux").flatten().filter(ours);
    ids.filter_map(|process| process.file_name().to_str()?.parse().ok()).map(Pid::from_raw).collect()
}

/// The same image under another tag; a new version, as far as Kubernetes can tell.
async fn next_version(cluster: &warren_testkit::cluster::Cluster, image: &str) -> String {
    let old = format!("ghcr.io/warren-dev/warren-{image}:{}", env!("CARGO_PKG_VERSION"));
    let new = format!("ghcr.io/warren-dev/warren-{image}:{}-next", env!("CARGO_PKG_VERSION"));
    let tag = concat!(env!("CARGO_MANIFEST_DIR"), "/../testkit/cluster/tag");
    cluster.run(tag, &[&old, &new], "").await.expect("is tagged");
    new
}

async fn every_result_is_recorded_once(line: &Line, promised: &BTreeMap<String, usize>) {
    let http = Client::new();
    eventually(&format!("every promised result of {}", line.name), PATIENCE, async || {
        let mut open = 0;
        let (mut seen, mut cursor) = (BTreeMap::<String, Value>::new(), String::new());
        loop {
            let url = format!("{}/api/v1/requests?limit=500{cursor}", line.base);
            let page: Value = http
                .get(url)
                .send()
                .await
                .map_err(|error| format!("{error:?}"))?
                .json()
                .await
                .map_err(|error| format!("{error:?}"))?;
            for record in page["requests"].as_array().ok_or_else(|| page.to_string())? {
                let id = record["requestId"].as_str().expect("an id").to_owned();
                assert_eq!(seen.insert(id, record.clone()), None, "recorded twice: {record}");
            }
            match &page["nextCursor"] {
                Value::String(next) => cursor = format!("&cursor={next}"),
                _ => break,
            }
        }
        for id in promised.keys() {
            match seen.get(id).and_then(|record| record["status"].as_str()) {
                Some("succeeded") => {}
                Some("failed") => panic!("failed: {}", seen[id]),
                _ => open += 1,
            }
        }
        if open == 0 { Ok(()) } else { Err(format!("{open} of {} are not done", promised.len())) }
    })
    .await;
    for (id, number) in promised {
        // The web Pod may just be replaced by its new version.
        let record = eventually("the record", SOON, async || {
            let answer = http.get(format!("{}/api/v1/requests/{id}", line.base)).send().await?;
            answer.json::<Value>().await
        })
        .await;
        assert_eq!(record["result"], (line.expected)(*number), "{record}");
    }
}

/// All workers run the new version.
async fn upgraded(namespace: &Namespace) {
    for deployment in ["demo-web", "demo-processor", "shout-web", "shout-processor"] {
        let rolled = |object: &Value| {
            // What has come to rest by now has none, and its status no such members.
            let count = |part: &str, member: &str| object[part][member].as_u64().unwrap_or(0);
            let replicas = count("spec", "replicas");
            let image = object["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap_or_default();
            image.ends_with("-next")
                && count("status", "updatedReplicas") == replicas
                && count("status", "availableReplicas") == replicas
        };
        namespace.get_when("deployment", deployment, "the new version", SOON, rolled).await;
    }
}

/// Deletes the pipelines and the release; only what `Retain` promises is left.
async fn take_away(namespace: &Namespace, release: &Release) {
    namespace.kubectl(&["delete", "pp", "--all"]).await.expect("are deleted");
    release.uninstall().await;
    let left = async |namespace: &Namespace, kinds: &str| {
        let left = namespace.kubectl(&["get", kinds, "-o", "name"]).await?;
        let others =
            |name: &&str| !["serviceaccount/default", "configmap/kube-root-ca.crt", "secret/rabbitmq"].contains(name);
        Ok::<Vec<String>, String>(left.lines().filter(others).map(str::to_owned).collect())
    };
    let kinds = "deploy,rs,pods,svc,sa,hpa,pdb,netpol,role,rolebinding,secret,lease,configmap";
    for namespace in [namespace, &release.system] {
        eventually("nothing to be left", SOON, async || {
            let left = left(namespace, kinds).await?;
            if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
        })
        .await;
    }
    let mut claims = left(namespace, "pvc").await.expect("a list");
    claims.sort();
    let promised = ["demo", "primes", "shout"].map(|name| format!("persistentvolumeclaim/{name}-web-store"));
    assert_eq!(claims, promised, "Retain keeps the records");
}

async fn apply(namespace: &Namespace, manifest: &str) {
    namespace.apply(manifest).await.unwrap_or_else(|error| panic!("refused: {error}"));
}

//! The promise: what was accepted is done and recorded, whatever is killed meanwhile.

use super::running::{Local, SOON, pipeline};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use tokio::sync::mpsc;
use warren_testkit::{broker, eventually};

const REQUESTS: usize = 1000;
const CLIENTS: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_requests_survive_a_killed_processor_and_a_restarted_broker() {
    let mut node = broker::private().await;
    let processor = json!({
        "handler": {"demo": {"delay": "5ms"}},
        "concurrency": 4,
        "scaling": {"minReplicas": 2},
    });
    let mut local = Local::start(&pipeline("p", processor), Some(&node.url())).await;
    let base = local.base("p").await;
    let (accepted, mut accepting) = mpsc::unbounded_channel();

    let clients = (0..CLIENTS).map(|client| {
        let (local, base, accepted) = (&local, &base, accepted.clone());
        async move {
            for number in (client..REQUESTS).step_by(CLIENTS) {
                let id = local.submit(base, json!(number.to_string())).await;
                accepted.send((id, number)).expect("is received");
            }
        }
    });
    let faults = async {
        let mut promised = BTreeMap::new();
        while promised.len() < REQUESTS {
            let (id, number) = accepting.recv().await.expect("clients go on");
            assert!(promised.insert(id, number).is_none(), "an id was given twice");
            match promised.len() {
                300 => local.kill9("warren-processor"),
                600 => {
                    node.kill();
                    node.start_again().await.expect("starts");
                }
                _ => {}
            }
        }
        promised
    };
    let (_, promised) = tokio::join!(futures::future::join_all(clients), faults);

    eventually("every promised result", SOON * 2, async || {
        let recorded = records(&local, &base).await?;
        let open = promised.keys().filter(|id| recorded.get(*id).is_none_or(|status| status != "succeeded")).count();
        if open == 0 { Ok(()) } else { Err(format!("{open} of {REQUESTS} are not done")) }
    })
    .await;
    for (id, number) in promised {
        let record = local.get(&base, &format!("/api/v1/requests/{id}")).await.expect("is there");
        assert_eq!(record["result"], format!("{number}-processed"), "{record}");
    }
    local.end().await;
}

/// Every record's status by id, over all pages; no id may appear twice.
async fn records(local: &Local, base: &str) -> Result<BTreeMap<String, String>, String> {
    let (mut found, mut seen, mut cursor) = (BTreeMap::new(), BTreeSet::new(), String::new());
    loop {
        let page = local.get(base, &format!("/api/v1/requests?limit=500{cursor}")).await?;
        for record in page["requests"].as_array().ok_or_else(|| page.to_string())? {
            let text = |member: &str| record[member].as_str().map(str::to_owned).unwrap_or_default();
            assert!(seen.insert(text("requestId")), "recorded twice: {record}");
            found.insert(text("requestId"), text("status"));
        }
        match &page["nextCursor"] {
            Value::String(next) => cursor = format!("&cursor={next}"),
            _ => return Ok(found),
        }
    }
}

//! A request that kills its processor with -9 each time, among others that do not deserve it.

use super::programs::{Pipeline, SOON, Version};
use futures::future::join_all;
use serde_json::json;
use warren_messaging::topology::QueueType;
use warren_testkit::eventually;

/// Poison kills at once; the others take so long that each crash hits those that run beside it.
const SCRIPT: &str = r#"read -r data; [ "$data" = '"poison"' ] && kill -9 $PPID; sleep 0.2; echo 1"#;
const INNOCENT: usize = 12;

async fn poisoned(label: &str, queue_type: QueueType) {
    let (pipeline, directory) = (Pipeline::new(label, queue_type).await, tempfile::tempdir().expect("a directory"));
    let file = directory.path().join("requests.db");
    let web = pipeline.web(&Version::today(), &["--sqlite-path", file.to_str().expect("is UTF-8")]).await;
    let (mut innocent, poison) = (Vec::new(), web.submit(json!("poison")).await);
    for _ in 0..INNOCENT {
        innocent.push(web.submit(json!("work")).await);
    }
    let (mut processor, mut killed) = (pipeline.processor(&Version::today(), SCRIPT), 0);
    let mut ended = Box::pin(join_all(innocent.iter().chain([&poison]).map(|id| web.ended(id))));
    let records = eventually("every request to end", 2 * SOON, async || {
        // As Kubernetes would.
        if processor.exited().is_some() {
            killed += 1;
            processor = pipeline.processor(&Version::today(), SCRIPT);
        }
        tokio::time::timeout(std::time::Duration::from_millis(20), &mut ended).await.ok()
    })
    .await;
    let (poison, innocent) = records.split_last().expect("there are some");
    assert_eq!((&poison["status"], &poison["error"]["reason"]), (&json!("failed"), &json!("delivery_limit")));
    for record in innocent {
        assert_eq!(record["status"], "succeeded", "{record}");
    }
    assert!(killed > 1, "the poison killed {killed} processors");
    eprintln!("{queue_type}: {killed} processors killed, {} innocent requests done", innocent.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn poison_fails_on_its_record_and_takes_nobody_with_it_on_quorum_queues() {
    poisoned("poison-quorum", QueueType::Quorum).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn poison_fails_on_its_record_and_takes_nobody_with_it_on_classic_queues() {
    poisoned("poison-classic", QueueType::Classic).await;
}

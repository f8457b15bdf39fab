//! Today's programs beside those of the commit before, on one pipeline and on one store: as during an upgrade, and after
//! one that was taken back. What today's say and store may have more in it than what those before expect, never less.

use super::programs::{Pipeline, Version, Web};
use futures::future::join_all;
use serde_json::{Value, json};
use warren_messaging::topology::QueueType;
use warren_testkit::postgres;

/// Done at once, at the second attempt, or never.
const SCRIPT: &str = r#"read -r data
    case $data in '"again"') [ "$WARREN_ATTEMPT" = 1 ] && exit 75 ;; '"never"') echo bad >&2; exit 3 ;; esac
    echo "$data""#;

/// Submits some of each kind.
async fn submit(web: &Web, requests: usize) -> Vec<(&'static str, String)> {
    let kinds = ["work", "again", "work", "never"].into_iter().cycle().take(requests);
    join_all(kinds.map(async |kind| (kind, web.submit(json!(kind)).await))).await
}

/// Waits until all have ended as they should.
async fn check(web: &Web, requests: &[(&'static str, String)]) {
    for (kind, id) in requests {
        let record: Value = web.ended(id).await;
        match *kind {
            "never" => {
                assert_eq!((&record["status"], &record["error"]["reason"]), (&json!("failed"), &json!("rejected")));
            }
            kind => {
                let attempts = if kind == "again" { 2 } else { 1 };
                assert_eq!((&record["result"], &record["attempts"]), (&json!(kind), &json!(attempts)), "{record}");
            }
        }
        assert!(record["submittedAt"].is_string(), "{record}");
    }
}

async fn together(label: &str, web: &Version, processor: &Version) {
    let (pipeline, directory) =
        (Pipeline::new(label, QueueType::Quorum).await, tempfile::tempdir().expect("a directory"));
    let file = directory.path().join("requests.db");
    let web = pipeline.web(web, &["--sqlite-path", file.to_str().expect("is UTF-8")]).await;
    let _processor = pipeline.processor(processor, SCRIPT);
    check(&web, &submit(&web, 200).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn processors_of_the_commit_before_work_for_todays_web_side() {
    let Some(previous) = Version::previous() else { return };
    together("old-processor", &Version::today(), &previous).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn todays_processors_work_for_the_web_side_of_the_commit_before() {
    let Some(previous) = Version::previous() else { return };
    together("old-web", &previous, &Version::today()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_store_goes_to_todays_web_side_and_back() {
    let Some(previous) = Version::previous() else { return };
    let (pipeline, directory) =
        (Pipeline::new("file", QueueType::Quorum).await, tempfile::tempdir().expect("a directory"));
    let file = directory.path().join("requests.db");
    let store = ["--sqlite-path", file.to_str().expect("is UTF-8")];
    let today = Version::today();
    let _processors = [pipeline.processor(&previous, SCRIPT), pipeline.processor(&today, SCRIPT)];
    let mut all = Vec::new();
    for version in [&previous, &today, &previous, &today] {
        let web = pipeline.web(version, &store).await;
        check(&web, &all).await;
        all.extend(submit(&web, 20).await);
        check(&web, &all).await;
        web.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_of_both_commits_share_a_database() {
    let Some(previous) = Version::previous() else { return };
    let (pipeline, database) =
        (Pipeline::new("database", QueueType::Quorum).await, postgres::database("upgrade").await);
    let url = database.url();
    let store = ["--postgres-url", url.as_str()];
    let today = Version::today();
    let _processors = [pipeline.processor(&previous, SCRIPT), pipeline.processor(&today, SCRIPT)];
    let before = pipeline.web(&previous, &store).await;
    let mut all = submit(&before, 40).await;
    let after = pipeline.web(&today, &store).await;
    // Each hears from the other what it has recorded.
    let (here, there) = tokio::join!(submit(&before, 80), submit(&after, 80));
    all.extend(here.into_iter().chain(there));
    tokio::join!(check(&before, &all), check(&after, &all));
    before.end().await;
    let taken_back = pipeline.web(&previous, &store).await;
    all.extend(submit(&taken_back, 40).await);
    check(&taken_back, &all).await;
}

//! A pipeline that keeps a journal.

use super::running::{Local, SOON, file, pipeline};
use serde_json::{Value, json};
use std::{collections::BTreeSet, process::Command};
use warren_messaging::journal::{Range, Reader};
use warren_testkit::{
    broker::{self, Vhost},
    eventually,
};

fn with_journal(journal: &Value) -> String {
    let mut pipeline: Value =
        serde_json::from_str(&pipeline("p", json!({"handler": {"demo": {"delay": "0s"}}}))).expect("is JSON");
    pipeline["spec"]["topology"] = json!({"journal": journal});
    pipeline.to_string()
}

async fn ids(vhost: &Vhost) -> BTreeSet<String> {
    let range = Range { since: jiff::Timestamp::UNIX_EPOCH, until: jiff::Timestamp::now(), resume_at: None };
    let address = vhost.url().parse().expect("is an address");
    // For a moment after a stream was declared RabbitMQ does not know it.
    let mut reader =
        eventually("the journal", SOON, async || Reader::open(&address, "test", "p.journal", range).await).await;
    let mut ids = BTreeSet::new();
    while let Some(entry) = reader.next().await.expect("is read") {
        ids.insert(entry.request_id().expect("has one").to_string());
    }
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn every_submit_is_kept_other_limits_are_refused_in_words_and_taking_it_away_ends_the_recording() {
    let vhost = broker::vhost("journal").await;
    let mut local = Local::start(&with_journal(&json!({})), Some(&vhost.url())).await;
    let base = local.base("p").await;
    // It is declared last: without it all the rest works.
    let is_bound = async || vhost.bindings().await.iter().any(|binding| binding.destination == "p.journal");
    eventually("the journal to be bound", SOON, is_bound).await;
    let first = local.submit(&base, json!(1)).await;
    local.record_when(&base, &first, "succeeded").await;
    assert_eq!(ids(&vhost).await, [first.clone()].into());

    let write = |text: &str| std::fs::write(file(local.directory.path()), text).expect("is written");
    write(&with_journal(&json!({"retention": "1d"})));
    let words =
        ["the journal p.journal exists with other limits", "'1D'", "'7D'", "rabbitmqctl delete_queue p.journal"];
    eventually("the refusal", SOON, async || words.iter().all(|word| local.program.output().contains(word))).await;
    let second = local.submit(&base, json!(2)).await;
    local.record_when(&base, &second, "succeeded").await;
    assert_eq!(ids(&vhost).await, [first.clone(), second.clone()].into(), "all goes on");

    let mut command = Command::new(env!("CARGO_BIN_EXE_warren-operator"));
    command.args(["journal", "replay", "--url", &base, "--since", "1h", "--rate", "50", "--wait"]);
    let replayed = command.env_remove("WARREN_URL").output().expect("runs");
    let said = String::from_utf8_lossy(&replayed.stdout).into_owned() + &String::from_utf8_lossy(&replayed.stderr);
    assert!(replayed.status.success() && said.contains("done: 2 of 2 replayed"), "{said}");
    eventually("the replay to succeed", SOON, async || {
        let record = local.record_when(&base, &first, "succeeded").await;
        if record["replays"] == 1 { Ok(()) } else { Err(record.to_string()) }
    })
    .await;

    write(&pipeline("p", json!({"handler": {"demo": {"delay": "0s"}}})));
    let is_unbound = async || vhost.bindings().await.iter().all(|binding| binding.destination != "p.journal");
    eventually("the journal to be unbound", SOON, is_unbound).await;
    let third = local.submit(&base, json!(3)).await;
    local.record_when(&base, &third, "succeeded").await;
    assert_eq!(ids(&vhost).await, [first, second].into());
    local.end().await;
}

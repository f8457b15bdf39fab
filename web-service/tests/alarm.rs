//! RabbitMQ short of memory.

use crate::fixture::{SOON, Web, declare_on};
use reqwest::StatusCode;
use serde_json::json;
use std::time::{Duration, Instant};
use warren_messaging::topology::Topology;
use warren_testkit::{
    broker::{self, set_memory_alarm},
    eventually,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_memory_alarm_refuses_submits_instead_of_hanging_and_heals() {
    let node = broker::private().await;
    declare_on(&node.url(), &Topology::named("p")).await;
    let web = Web::start_on(&node.url(), &[]).await;
    web.ready().await;
    web.submit(json!(1)).await;
    set_memory_alarm(&node, true).await;
    web.says("RabbitMQ takes no messages now", SOON).await;
    let begun = Instant::now();
    let detail = web.refusal("broker-unavailable").await;
    assert!(begun.elapsed() < Duration::from_secs(2), "took {:?}", begun.elapsed());
    assert!(detail.contains("free memory or disk there"), "{detail}");
    let readiness = web.get_json("/readyz").await;
    assert_eq!(web.get("/readyz").await.status(), 503);
    assert_eq!(web.get("/readyz?exclude=publishing").await.status(), 200, "clients are to hear of it from here");
    assert_eq!(web.get("/readyz?exclude=everything").await.status(), 400);
    assert_eq!(readiness["results"], "ready", "what only reads is let be: {readiness}");
    set_memory_alarm(&node, false).await;
    web.ready().await;
    web.submit(json!(2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_side_that_starts_in_a_memory_alarm_says_so_before_it_accepts() {
    let node = broker::private().await;
    declare_on(&node.url(), &Topology::named("p")).await;
    set_memory_alarm(&node, true).await;
    let web = Web::start_on(&node.url(), &[]).await;
    let mut accepted = 0;
    eventually("the alarm to be told", SOON, async || {
        accepted += usize::from(web.post(r#"{"data":1}"#).await.status() == StatusCode::ACCEPTED);
        let text = web.get("/readyz").await.text().await.unwrap_or_default();
        if text.contains("RabbitMQ takes no messages now") { Ok(()) } else { Err(text) }
    })
    .await;
    assert_eq!(accepted, 0);
    set_memory_alarm(&node, false).await;
    web.ready().await;
    web.submit(json!(1)).await;
}

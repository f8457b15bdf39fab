//! The broker away, refusing, or without the topology.

use crate::fixture::{SOON, Web, declare_on, kind, problem, web};
use lapin::options::QueueDeleteOptions;
use reqwest::StatusCode;
use serde_json::json;
use warren_messaging::topology::Topology;
use warren_testkit::{broker, eventually, free_port, proxy::Proxy};

async fn readiness(web: &Web, word: &str) {
    eventually(&format!("/readyz to say {word}"), SOON, async || {
        let response = web.get("/readyz").await;
        let (status, text) = (response.status(), response.text().await.unwrap_or_default());
        let said = status == StatusCode::SERVICE_UNAVAILABLE && text.contains(word);
        if said { Ok(()) } else { Err(format!("{status} {text}")) }
    })
    .await;
}

async fn refused(web: &Web) -> serde_json::Value {
    let response = web.post(r#"{"data":1}"#).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(response.headers().contains_key("retry-after"));
    problem(response).await
}

#[tokio::test]
async fn without_a_broker_submits_are_refused_at_once_and_records_can_be_read() {
    let web = Web::start_on(&format!("amqp://127.0.0.1:{}", free_port()), &[]).await;
    readiness(&web, "cannot reach RabbitMQ").await;
    let begun = tokio::time::Instant::now();
    let problem = refused(&web).await;
    assert!(begun.elapsed() < SOON / 10, "took {:?}", begun.elapsed());
    assert_eq!(kind(&problem), "broker-unavailable");
    assert_eq!(web.get("/api/v1/requests").await.status(), StatusCode::OK);
    assert_eq!(web.get("/healthz").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_refused_login_is_told_without_the_password() {
    let shared = broker::vhost("login").await;
    let url = shared.url().replace("guest:guest@", "guest:wr0ng@");
    let web = Web::start_on(&url, &[]).await;
    readiness(&web, "refused the login of user `guest`").await;
    assert!(!refused(&web).await.to_string().contains("wr0ng"));
}

#[tokio::test]
async fn a_missing_topology_is_named_and_used_as_soon_as_it_is_there() {
    let vhost = broker::vhost("missing").await;
    let web = Web::start_on(&vhost.url(), &[]).await;
    readiness(&web, "queue p.requests").await;
    refused(&web).await;
    declare_on(&vhost.url(), &Topology::named("p")).await;
    web.ready().await;
    web.submit(json!(1)).await;
}

#[tokio::test]
async fn a_request_queue_that_is_deleted_refuses_submits_until_it_is_there_again() {
    let (vhost, web) = web("deleted").await;
    web.submit(json!(1)).await;
    vhost.channel().await.queue_delete("p.requests".into(), QueueDeleteOptions::default()).await.expect("is deleted");
    assert_eq!(kind(&refused(&web).await), "broker-unavailable");
    readiness(&web, "queue p.requests").await;
    declare_on(&vhost.url(), &Topology::named("p")).await;
    web.ready().await;
    web.submit(json!(2)).await;
}

#[tokio::test]
async fn a_results_queue_that_is_deleted_is_read_again_as_soon_as_it_is_there() {
    let (vhost, web) = web("results-deleted").await;
    vhost.channel().await.queue_delete("p.results".into(), QueueDeleteOptions::default()).await.expect("is deleted");
    declare_on(&vhost.url(), &Topology::named("p")).await;
    vhost.publish("p", "result", json!({"requestId": "a", "processingResults": 1}).to_string()).await;
    web.record_when("a", "succeeded").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_network_heals_by_itself() {
    let vhost = broker::vhost("cut").await;
    declare_on(&vhost.url(), &Topology::named("p")).await;
    let proxy = Proxy::start(
        vhost.url().parse::<warren_messaging::broker_url::BrokerUrl>().expect("is an address").host_and_port(),
    );
    let web = Web::start_on(&proxy.url(&vhost.url()), &[]).await;
    web.ready().await;
    let id = web.submit(json!(1)).await;
    proxy.cut();
    readiness(&web, "RabbitMQ").await;
    refused(&web).await;
    vhost.publish("p", "result", json!({"requestId": id, "processingResults": 1}).to_string()).await;
    proxy.restore();
    web.record_when(&id, "succeeded").await;
    web.ready().await;
    web.submit(json!(2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_restarts_is_found_again_with_all_that_was_accepted() {
    let mut node = broker::private().await;
    declare_on(&node.url(), &Topology::named("p")).await;
    let web = Web::start_on(&node.url(), &[]).await;
    web.ready().await;
    let mut accepted = vec![web.submit(json!(1)).await];
    node.kill();
    readiness(&web, "RabbitMQ").await;
    refused(&web).await;
    node.start_again().await.expect("starts");
    web.ready().await;
    accepted.push(web.submit(json!(2)).await);
    let connection = warren_messaging::link::connect(
        &node.url().parse().expect("is an address"),
        "test",
        warren_messaging::link::Frames::Small,
    )
    .await;
    let channel = connection.expect("connects").create_channel().await.expect("opens");
    for id in accepted {
        let message = channel.basic_get("p.requests".into(), Default::default()).await.expect("answers");
        let message = message.expect("is there").delivery;
        assert_eq!(message.properties.message_id().as_ref().map(|id| id.as_str()), Some(id.as_str()));
    }
}

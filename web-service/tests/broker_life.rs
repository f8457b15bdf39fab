//! What RabbitMQ's administrators and the network do to a web side: told apart, and healed without a restart.

use crate::fixture::{SOON, Web, declare_on, web, web_with};
use lapin::options::QueueDeleteOptions;
use reqwest::StatusCode;
use serde_json::json;
use std::time::{Duration, Instant};
use warren_messaging::{
    broker_url::BrokerUrl,
    topology::{QueueType, Topology},
};
use warren_testkit::{
    broker::{self, User, Vhost},
    eventually,
    proxy::Proxy,
};

/// Within this a silent network is noticed.
const HALF_OPEN: Duration = Duration::from_secs(30);

/// A web side that logs in as a user of its own.
async fn as_a_user(label: &str) -> (Vhost, User, Web) {
    let vhost = broker::vhost(label).await;
    declare_on(&vhost.url(), &Topology::named("p")).await;
    let user = vhost.user().await;
    let web = Web::start_on(&user.url(), &[]).await;
    web.ready().await;
    (vhost, user, web)
}

/// Closes the user's connections until the web side says why it has none.
async fn disconnected(user: &User, web: &Web, word: &str) {
    eventually(&format!("/readyz to say {word}"), SOON, async || {
        user.disconnect().await;
        let text = web.get("/readyz").await.text().await.unwrap_or_default();
        if text.contains(word) { Ok(()) } else { Err(text) }
    })
    .await;
}

#[tokio::test]
async fn a_lost_permission_to_write_is_told_and_healed_when_it_is_granted() {
    let (_vhost, user, web) = as_a_user("no-write").await;
    user.permit(".*", "^$", ".*").await;
    disconnected(&user, &web, "refused a permission").await;
    let detail = web.refused_with("exchange 'p'").await;
    assert!(detail.contains("set_permissions"), "{detail}");
    user.permit(".*", ".*", ".*").await;
    web.ready().await;
    web.submit(json!(1)).await;
}

#[tokio::test]
async fn a_lost_permission_to_read_stops_results_and_nothing_else() {
    let (vhost, user, web) = as_a_user("no-read").await;
    let id = web.submit(json!(1)).await;
    user.permit(".*", ".*", "^$").await;
    disconnected(&user, &web, "queue 'p.results'").await;
    web.ready().await;
    web.submit(json!(2)).await;
    crate::fixture::result(&vhost, &json!(id), json!(1)).await;
    web.says("refused a permission", SOON).await;
    user.permit(".*", ".*", ".*").await;
    web.record_when(&id, "succeeded").await;
}

#[tokio::test]
async fn a_changed_password_is_told_and_healed_when_it_is_changed_back() {
    let (_vhost, user, web) = as_a_user("password").await;
    user.set_password("second").await;
    disconnected(&user, &web, "refused the login of user").await;
    web.refused_with("check user and password").await;
    user.set_password("first").await;
    web.ready().await;
    web.submit(json!(1)).await;
}

#[tokio::test]
async fn a_deleted_virtual_host_is_told_apart_from_a_forbidden_one_and_both_heal() {
    let (vhost, user, web) = as_a_user("no-vhost").await;
    vhost.exists(false).await;
    web.says("add_vhost", SOON).await;
    web.refused_with("it does not exist").await;
    vhost.exists(true).await;
    web.says("grant access with `rabbitmqctl set_permissions`", SOON).await;
    user.permit(".*", ".*", ".*").await;
    web.says("queue p.requests", SOON).await;
    declare_on(&vhost.url(), &Topology::named("p")).await;
    web.ready().await;
    web.submit(json!(1)).await;
}

#[tokio::test]
async fn a_deleted_request_queue_is_noticed_although_nobody_submits() {
    let (vhost, web) = web("unseen").await;
    vhost.channel().await.queue_delete("p.requests".into(), QueueDeleteOptions::default()).await.expect("is deleted");
    web.says("waiting for RabbitMQ to have queue p.requests", 2 * SOON).await;
    web.refusal("broker-unavailable").await;
    declare_on(&vhost.url(), &Topology::named("p")).await;
    web.ready().await;
}

/// Fills the queue, has a tenth drained, then more than a fifth.
async fn fills_and_drains(queue_type: QueueType) {
    let topology = Topology { max_length: Some(20), queue_type, ..Topology::named("p") };
    let (vhost, web) = web_with(&format!("full-{queue_type}"), &topology, &[]).await;
    let submit = async || web.post(r#"{"data":1}"#).await.status();
    eventually("a full queue", SOON, async || submit().await == StatusCode::SERVICE_UNAVAILABLE).await;
    let detail = web.refusal("queue-full").await;
    assert!(detail.contains("nothing was accepted"), "{detail}");
    web.ready().await;
    for _ in 0..10 {
        vhost.get("p.requests").await.expect("a request waits");
    }
    eventually("room", SOON, async || submit().await == StatusCode::ACCEPTED).await;
}

#[tokio::test]
async fn a_full_quorum_queue_refuses_submits_until_it_is_drained() {
    fills_and_drains(QueueType::Quorum).await;
}

#[tokio::test]
async fn a_full_classic_queue_refuses_submits_until_it_is_drained() {
    fills_and_drains(QueueType::Classic).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_swallows_everything_is_noticed_within_half_a_minute_and_heals() {
    let vhost = broker::vhost("half-open").await;
    declare_on(&vhost.url(), &Topology::named("p")).await;
    let proxy = Proxy::start(vhost.url().parse::<BrokerUrl>().expect("is an address").host_and_port());
    let web = Web::start_on(&proxy.url(&vhost.url()), &[]).await;
    web.ready().await;
    let id = web.submit(json!(1)).await;
    let begun = Instant::now();
    proxy.swallow();
    // Until the heartbeats are missed, a submit waits for its confirm, and not longer.
    let detail = web.refusal("not-confirmed").await;
    assert!(begun.elapsed() < Duration::from_secs(8), "took {:?}", begun.elapsed());
    assert!(detail.contains("may have it or not"), "{detail}");
    let mut noticed = [None; 2];
    eventually("both links to notice", HALF_OPEN, async || {
        let readiness = web.get_json("/readyz").await;
        for (link, noticed) in ["publishing", "results"].into_iter().zip(&mut noticed) {
            if readiness[link] != "ready" {
                noticed.get_or_insert(begun.elapsed());
            }
        }
        if noticed.iter().all(Option::is_some) { Ok(()) } else { Err(readiness.to_string()) }
    })
    .await;
    eprintln!("publishing and results noticed after {noticed:?}");
    assert!(noticed.iter().flatten().all(|after| *after < HALF_OPEN), "{noticed:?}");
    web.refusal("broker-unavailable").await;
    crate::fixture::result(&vhost, &json!(id), json!(1)).await;
    proxy.restore();
    web.record_when(&id, "succeeded").await;
    web.ready().await;
    web.submit(json!(2)).await;
}

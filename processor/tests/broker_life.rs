//! What RabbitMQ's administrators, its memory and the network do to a worker: told apart, and healed without a
//! restart.

use crate::{
    handlers::{Echo, gated},
    pipeline::{DEADLINE, Pipeline},
    worker::Embedded,
};
use std::time::{Duration, Instant};
use warren_messaging::broker_url::BrokerUrl;
use warren_testkit::{
    broker::{self, User, Vhost, set_memory_alarm},
    eventually, free_port,
    proxy::Proxy,
};

/// Within this a silent network is noticed, and its request is another's.
const HALF_OPEN: Duration = Duration::from_secs(30);

async fn readiness(port: u16) -> (u16, String) {
    match reqwest::get(format!("http://127.0.0.1:{port}/readyz")).await {
        Ok(answer) => (answer.status().as_u16(), answer.text().await.unwrap_or_default()),
        Err(error) => (0, error.to_string()),
    }
}

/// A pipeline with a worker that logs in as a user of its own, and the port on which that tells how it is.
struct Site {
    vhost: Vhost,
    user: User,
    pipeline: Pipeline,
    worker: Embedded,
    port: u16,
}

impl Site {
    async fn new(label: &str) -> Self {
        let vhost = broker::vhost(label).await;
        let user = vhost.user().await;
        let (pipeline, of_the_user) = (Pipeline::at(&vhost.url()).await, Pipeline::at(&user.url()).await);
        pipeline.declare(None).await;
        let port = free_port();
        let worker = Embedded::start(&of_the_user, Echo, &[&format!("--listen=127.0.0.1:{port}")]);
        let site = Self { vhost, user, pipeline, worker, port };
        site.works().await;
        site
    }

    /// Waits until the worker says this, closing its connections meanwhile.
    async fn disconnected(&self, word: &str) {
        eventually(&format!("/readyz to say {word}"), DEADLINE, async || {
            self.user.disconnect().await;
            let (status, text) = readiness(self.port).await;
            if status == 503 && text.contains(word) { Ok(()) } else { Err(text) }
        })
        .await;
    }

    async fn says(&self, word: &str) {
        eventually(&format!("/readyz to say {word}"), DEADLINE, async || {
            let (status, text) = readiness(self.port).await;
            if status == 503 && text.contains(word) { Ok(()) } else { Err(text) }
        })
        .await;
    }

    async fn works(&self) {
        self.pipeline.request(1, "1").await;
        assert_eq!(self.pipeline.result().await.json()["processingResults"], 1);
    }
}

#[tokio::test]
async fn lost_permissions_are_told_and_healed_when_they_are_granted() {
    let site = Site::new("worker-rights").await;
    site.user.permit(".*", ".*", "^$").await;
    site.disconnected("taking requests: RabbitMQ refused a permission").await;
    site.user.permit(".*", "^$", ".*").await;
    site.disconnected("publishing results: RabbitMQ refused a permission").await;
    site.user.permit(".*", ".*", ".*").await;
    site.works().await;
    site.worker.stop().await;
}

#[tokio::test]
async fn a_changed_password_is_told_and_healed_when_it_is_changed_back() {
    let site = Site::new("worker-password").await;
    site.user.set_password("second").await;
    site.disconnected("refused the login of user").await;
    site.user.set_password("first").await;
    site.works().await;
    site.worker.stop().await;
}

#[tokio::test]
async fn a_deleted_virtual_host_is_told_and_used_again_when_it_is_back() {
    let mut site = Site::new("worker-vhost").await;
    site.vhost.exists(false).await;
    site.says("add_vhost").await;
    site.vhost.exists(true).await;
    site.says("set_permissions").await;
    site.user.permit(".*", ".*", ".*").await;
    site.says("waiting for RabbitMQ to have exchange processing").await;
    site.pipeline.reconnect().await;
    site.pipeline.declare(None).await;
    site.works().await;
    site.worker.stop().await;
}

#[tokio::test]
async fn a_request_behind_a_network_that_swallows_everything_is_another_workers_within_half_a_minute() {
    let pipeline = Pipeline::declared().await;
    let proxy = Proxy::start(pipeline.url.parse::<BrokerUrl>().expect("is an address").host_and_port());
    let through = Pipeline::at(&proxy.url(&pipeline.url)).await;
    let port = free_port();
    let (handler, mut gate) = gated();
    let away = Embedded::start(&through, handler, &[&format!("--listen=127.0.0.1:{port}")]);
    pipeline.request(1, r#""a""#).await;
    gate.begins().await;
    let begun = Instant::now();
    proxy.swallow();
    let other = Embedded::start(&pipeline, Echo, &[]);
    assert_eq!(pipeline.result().await.json()["processingResults"], "a", "the other's");
    let again = begun.elapsed();
    eventually("the worker to notice", HALF_OPEN, async || readiness(port).await.0 == 503).await;
    eprintln!("redelivered after {again:?}, noticed after {:?}", begun.elapsed());
    assert!(again < HALF_OPEN && begun.elapsed() < HALF_OPEN, "{again:?}, {:?}", begun.elapsed());
    other.stop().await;
    proxy.restore();
    eventually("the worker to be ready", DEADLINE, async || readiness(port).await.0 == 200).await;
    gate.open();
    assert_eq!(pipeline.result().await.json()["processingResults"], "run 1", "at least once: the second is harmless");
    away.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_memory_alarm_results_wait_with_their_worker_and_none_is_lost() {
    let node = broker::private().await;
    let mut pipeline = Pipeline::at(&node.url()).await;
    pipeline.declare(None).await;
    for id in 0..20 {
        pipeline.request(id, "0").await;
    }
    let port = free_port();
    let (handler, mut gate) = gated();
    let worker = Embedded::start(&pipeline, handler, &[&format!("--listen=127.0.0.1:{port}")]);
    gate.begins().await;
    set_memory_alarm(&node, true).await;
    eventually("the worker to tell", DEADLINE, async || {
        let (status, text) = readiness(port).await;
        if status == 503 && text.contains("publishing results: RabbitMQ takes no messages now") {
            Ok(())
        } else {
            Err(text)
        }
    })
    .await;
    gate.open();
    set_memory_alarm(&node, false).await;
    pipeline.reconnect().await;
    let mut missing: std::collections::BTreeSet<u64> = (0..20).collect();
    while !missing.is_empty() {
        missing.remove(&pipeline.result().await.json()["requestId"].as_u64().expect("is a number"));
    }
    eventually("the worker to be ready", DEADLINE, async || readiness(port).await.0 == 200).await;
    worker.stop().await;
}

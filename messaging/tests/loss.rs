//! A link whose session does not hear that the connection is gone.

use crate::{address, declared};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::io::AsyncReadExt as _;
use tokio_util::sync::CancellationToken;
use warren_messaging::{
    link::{Frames, Link, LinkError, LinkState, Opened, Session, connect},
    topology::Topology,
};
use warren_testkit::{eventually, proxy::Proxy};

/// Waits for nothing but its stop, and counts its connections.
struct Deaf(Arc<AtomicUsize>);

impl Session for Deaf {
    async fn serve(&mut self, opened: Opened<'_>) -> Result<(), LinkError> {
        self.0.fetch_add(1, Ordering::SeqCst);
        opened.ready();
        opened.stop.cancelled().await;
        Ok(())
    }
}

/// Waits for an answer that got lost, whatever else happens.
struct Stuck;

impl Session for Stuck {
    async fn serve(&mut self, opened: Opened<'_>) -> Result<(), LinkError> {
        opened.ready();
        std::future::pending().await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_misses_the_loss_of_its_connection_does_not_keep_its_process_from_stopping() {
    let (vhost, _connection, plan) = declared(&Topology::named("p")).await;
    let proxy = Proxy::start(address(&vhost).url.host_and_port());
    let stop = CancellationToken::new();
    let through_proxy = proxy.url(&vhost.url()).parse::<warren_messaging::broker::Broker>().expect("is an address");
    let link = Link::new(through_proxy, "stuck", Some(plan));
    let mut state = link.state();
    let keeping = tokio::spawn(link.keep(Stuck, stop.clone()));
    state.wait_for(LinkState::is_ready).await.expect("the link lives");
    stop.cancel();
    proxy.cut();
    tokio::time::timeout(Duration::from_secs(30), keeping).await.expect("ends in time").expect("ends well");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_misses_the_loss_of_its_connection_is_given_another() {
    let (vhost, _connection, plan) = declared(&Topology::named("p")).await;
    let proxy = Proxy::start(address(&vhost).url.host_and_port());
    let (served, stop) = (Arc::new(AtomicUsize::new(0)), CancellationToken::new());
    let through_proxy = proxy.url(&vhost.url()).parse::<warren_messaging::broker::Broker>().expect("is an address");
    let keeping = tokio::spawn(Link::new(through_proxy, "deaf", Some(plan)).keep(Deaf(served.clone()), stop.clone()));
    let connections = async |wanted: usize| {
        eventually("the session to be served", Duration::from_secs(30), async || {
            let now = served.load(Ordering::SeqCst);
            if now == wanted { Ok(()) } else { Err(format!("{now} times")) }
        })
        .await
    };
    connections(1).await;
    proxy.cut();
    proxy.restore();
    connections(2).await;
    stop.cancel();
    keeping.await.expect("ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_accepts_and_says_nothing_costs_no_connection_once_it_is_given_up() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("is free");
    let url = format!("amqp://{}", silent.local_addr().expect("has one"));
    let broker = url.parse::<warren_messaging::broker::Broker>().expect("is an address");
    let at = broker.clone();
    let asking = tokio::spawn(async move { connect(&at, "test", Frames::Small).await.err() });
    let (accepted, _) = silent.accept().await.expect("is asked");
    let refusal = asking.await.expect("does not panic").expect("nobody answers");
    assert!(matches!(refusal, LinkError::NoAnswer { .. }), "{refusal:?}");
    ends_after_its_first_words(accepted).await;

    let asking = tokio::spawn(async move { connect(&broker, "test", Frames::Small).await.err() });
    let (accepted, _) = silent.accept().await.expect("is asked again");
    asking.abort();
    ends_after_its_first_words(accepted).await;
}

async fn ends_after_its_first_words(mut accepted: tokio::net::TcpStream) {
    let mut said = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(5), accepted.read_to_end(&mut said)).await;
    ended.expect("the connection ends").expect("in order");
    assert!(b"AMQP\x00\x00\x09\x01".starts_with(&said), "{said:?}");
}

//! The proxy between a client and an echo server.

use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use warren_testkit::proxy::Proxy;

#[tokio::test]
async fn bytes_pass_both_ways_and_an_orderly_end_stays_orderly() {
    let proxy = Proxy::start(echo_server().await);
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    client.write_all(b"hello").await.unwrap();
    client.shutdown().await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "hello");
}

#[tokio::test]
async fn a_cut_resets_connections_and_refuses_new_ones_until_it_is_restored() {
    let proxy = Proxy::start(echo_server().await);
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    assert!(echoes(&mut client).await);
    proxy.cut();
    assert_eq!(client.read_u8().await.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    assert!(TcpStream::connect(proxy.address()).await.is_err());
    proxy.restore();
    assert!(echoes(&mut TcpStream::connect(proxy.address()).await.unwrap()).await);
}

#[tokio::test]
async fn swallowed_connections_hear_nothing_and_are_reset_when_the_network_is_back() {
    let proxy = Proxy::start(echo_server().await);
    let mut old = TcpStream::connect(proxy.address()).await.unwrap();
    assert!(echoes(&mut old).await);
    proxy.swallow();
    let mut new = TcpStream::connect(proxy.address()).await.unwrap();
    for client in [&mut old, &mut new] {
        client.write_all(b"?").await.unwrap();
        assert!(timeout(Duration::from_millis(100), client.read_u8()).await.is_err(), "an answer, or an end");
    }
    proxy.restore();
    for client in [&mut old, &mut new] {
        assert!(client.read_u8().await.is_err(), "its bytes are lost, so it cannot go on");
    }
    assert!(echoes(&mut TcpStream::connect(proxy.address()).await.unwrap()).await);
}

#[tokio::test]
async fn a_half_open_connection_hears_the_server_and_is_not_heard() {
    let (server, mut accepted) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), None);
    let proxy = Proxy::start(server.local_addr().unwrap());
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    let accepted: &mut TcpStream = accepted.insert(server.accept().await.unwrap().0);
    proxy.swallow_requests();
    client.write_all(b"?").await.unwrap();
    accepted.write_all(b"!").await.unwrap();
    assert_eq!(client.read_u8().await.unwrap(), b'!');
    assert!(timeout(Duration::from_millis(100), accepted.read_u8()).await.is_err(), "it was swallowed");
}

#[tokio::test]
async fn a_delayed_line_is_late_both_ways_and_keeps_its_connections() {
    let proxy = Proxy::start(echo_server().await);
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    assert!(echoes(&mut client).await);
    proxy.delay(Duration::from_millis(50));
    let begun = std::time::Instant::now();
    assert!(echoes(&mut client).await);
    assert!(begun.elapsed() >= Duration::from_millis(100), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_balancer_passes_over_a_server_that_is_gone() {
    let gone = warren_testkit::free_port();
    let proxy = Proxy::balancing(&[format!("127.0.0.1:{gone}"), echo_server().await.to_string()]);
    for _ in 0..4 {
        assert!(echoes(&mut TcpStream::connect(proxy.address()).await.unwrap()).await);
    }
}

#[tokio::test]
async fn a_url_keeps_everything_but_host_and_port() {
    let proxy = Proxy::start("127.0.0.1:9");
    let port = proxy.address().port();
    assert_eq!(
        proxy.url("amqp://u:p%23@rabbit:5672/a%2fb?heartbeat=1"),
        format!("amqp://u:p%23@127.0.0.1:{port}/a%2fb?heartbeat=1")
    );
}

async fn echo_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                let _ = copy(&mut read, &mut write).await;
            });
        }
    });
    address
}

async fn echoes(client: &mut TcpStream) -> bool {
    client.write_all(b"!").await.is_ok() && client.read_u8().await.is_ok_and(|byte| byte == b'!')
}

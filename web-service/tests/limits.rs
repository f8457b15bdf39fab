//! Clients that are slow, idle, greedy or many.

use crate::fixture::{SOON, Web, kind, problem, result, web_with};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    time::{Instant, timeout},
};
use warren_messaging::topology::Topology;
use warren_testkit::{broker::Vhost, eventually};

async fn limited(label: &str, arguments: &[&str]) -> (Vhost, Web) {
    web_with(label, &Topology::named("p"), arguments).await
}

/// A client that sends byte by byte what it likes.
struct Raw(TcpStream);

impl Raw {
    async fn connect(web: &Web) -> Self {
        Self(TcpStream::connect(web.base.trim_start_matches("http://")).await.expect("connects"))
    }

    async fn send(&mut self, text: impl AsRef<[u8]>) {
        self.0.write_all(text.as_ref()).await.expect("is taken");
    }

    /// The head of a submit with a body of this length.
    async fn begin(&mut self, length: usize) {
        let head = "POST /api/v1/processData HTTP/1.1\r\nhost: x\r\ncontent-type: application/json";
        self.send(format!("{head}\r\ncontent-length: {length}\r\n\r\n")).await;
    }

    /// Everything until the server hangs up.
    async fn rest(mut self) -> String {
        let mut text = Vec::new();
        let read = timeout(SOON, self.0.read_to_end(&mut text)).await.expect("the server hangs up");
        read.expect("the connection is not reset");
        String::from_utf8_lossy(&text).into_owned()
    }

    /// What is there after the head of the next answer has come.
    async fn answer(&mut self) -> String {
        let mut text = Vec::new();
        while !String::from_utf8_lossy(&text).contains("\r\n\r\n") {
            let read = timeout(SOON, self.0.read_buf(&mut text)).await.expect("an answer comes").expect("is readable");
            assert!(read > 0, "the server hung up after {}", String::from_utf8_lossy(&text));
        }
        String::from_utf8_lossy(&text).into_owned()
    }
}

#[tokio::test]
async fn a_head_that_does_not_come_in_time_costs_its_client_the_connection() {
    let (_vhost, web) = limited("slow-head", &["--header-timeout", "400ms"]).await;
    for beginning in ["", "GET /healthz HTTP/1.1\r\nhost: x\r\nx-slow: "] {
        let begun = Instant::now();
        let mut client = Raw::connect(&web).await;
        client.send(beginning).await;
        assert_eq!(client.rest().await, "", "there is no request to answer yet");
        assert!((0.3..5.0).contains(&begun.elapsed().as_secs_f64()), "{beginning:?}: {:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn an_idle_connection_is_kept_for_a_while_and_then_closed() {
    let (_vhost, web) = limited("idle", &["--header-timeout", "100ms", "--idle-timeout", "2s"]).await;
    let mut client = Raw::connect(&web).await;
    client.send("GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(client.answer().await.starts_with("HTTP/1.1 200"));
    let begun = Instant::now();
    assert_eq!(client.rest().await, "");
    assert!(begun.elapsed() > Duration::from_secs(1), "the time for a head is not meant: {:?}", begun.elapsed());
}

#[tokio::test]
async fn a_body_that_does_not_come_in_time_is_refused() {
    let (_vhost, web) = limited("slow-body", &["--body-timeout", "400ms"]).await;
    let mut client = Raw::connect(&web).await;
    client.begin(1000).await;
    client.send(r#"{"data":"#).await;
    let text = client.rest().await;
    assert!(text.starts_with("HTTP/1.1 408") && text.contains("problems/body-too-slow"), "{text}");
}

#[tokio::test]
async fn a_body_that_is_far_too_large_is_refused_while_it_is_still_coming() {
    let (_vhost, web) = limited("huge", &["--max-body-bytes", "1000"]).await;
    for head in ["content-length: 50000000", "transfer-encoding: chunked"] {
        let mut client = Raw::connect(&web).await;
        let begin = "POST /api/v1/processData HTTP/1.1\r\nhost: x\r\ncontent-type: application/json";
        client.send(format!("{begin}\r\n{head}\r\n\r\n")).await;
        // More than fits into the sockets' buffers beside what is read.
        for _ in 0..20 {
            client.send(format!("4000\r\n{}\r\n", "x".repeat(0x4000))).await;
        }
        let text = client.rest().await;
        assert!(text.starts_with("HTTP/1.1 413") && text.contains("problems/body-too-large"), "{head}: {text}");
    }
}

#[tokio::test]
async fn one_connection_too_many_is_told_so_and_may_still_ask_how_the_web_side_is() {
    let (_vhost, web) = limited("many", &["--max-connections", "3"]).await;
    // That of the fixture's client is one of them.
    let places = [Raw::connect(&web).await, Raw::connect(&web).await];
    let ask = async |path: &str| {
        let mut client = Raw::connect(&web).await;
        client.send(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")).await;
        client.rest().await
    };
    let text = ask("/api/v1/requests").await;
    assert!(text.starts_with("HTTP/1.1 503") && text.contains("problems/too-many-connections"), "{text}");
    assert!(text.contains("retry-after: 2\r\n") && text.contains("connection: close\r\n"), "{text}");
    for path in ["/healthz", "/readyz", "/metrics"] {
        let text = ask(path).await;
        assert!(text.starts_with("HTTP/1.1 200"), "{path}: {text}");
    }
    drop(places);
    eventually("a place", SOON, async || {
        let mut client = Raw::connect(&web).await;
        client.send("GET /api/v1/requests HTTP/1.1\r\nhost: x\r\n\r\n").await;
        let text = client.answer().await;
        if text.starts_with("HTTP/1.1 200") { Ok(()) } else { Err(text) }
    })
    .await;
    assert!(web.get("/metrics").await.text().await.expect("is text").contains("connections_refused_total"));
}

#[tokio::test]
async fn bodies_find_room_one_after_the_other_and_none_is_taken_by_what_was_only_announced() {
    let arguments = ["--max-held-bytes", "100000", "--max-body-bytes", "100000"];
    let (_vhost, web) = limited("memory", &arguments).await;
    let body = json!({"data": "x".repeat(60_000)}).to_string();
    let mut announced = Raw::connect(&web).await;
    announced.begin(90_000).await;
    let mut slow = Raw::connect(&web).await;
    slow.begin(90_000).await;
    slow.send("x".repeat(80_000)).await;
    let metrics = async || web.get("/metrics").await.text().await.expect("is text");
    eventually("it to arrive", SOON, async || metrics().await.contains("web_body_bytes 80000\n")).await;
    let refused = web.post(body.clone()).await;
    assert_eq!(refused.headers()["retry-after"], "2");
    assert_eq!(kind(&problem(refused).await), "overloaded");
    web.submit(json!("small")).await;
    drop(slow);
    eventually("room", SOON, async || web.post(body.clone()).await.status() == StatusCode::ACCEPTED).await;
}

#[tokio::test]
async fn an_answer_that_nobody_reads_takes_no_more_than_its_share_of_memory_and_time() {
    let (vhost, web) = limited("unread", &["--max-held-bytes", "10000000", "--answer-timeout", "1s"]).await;
    let id = web.submit(json!(1)).await;
    result(&vhost, &json!(id), json!("x".repeat(8 << 20))).await;
    web.record_when(&id, "succeeded").await;
    let socket = TcpSocket::new_v4().expect("a socket");
    // What is larger than the buffers of both sockets waits in the web side.
    socket.set_recv_buffer_size(4096).expect("can be small");
    let address = web.base.trim_start_matches("http://").parse().expect("an address");
    let mut deaf = Raw(socket.connect(address).await.expect("connects"));
    let begun = Instant::now();
    let path = format!("/api/v1/requests/{id}");
    deaf.send(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")).await;
    let refused = eventually("a refusal", SOON, async || {
        let response = web.get(&path).await;
        if response.status() == StatusCode::SERVICE_UNAVAILABLE { Ok(response) } else { Err(response.status()) }
    })
    .await;
    assert_eq!(kind(&problem(refused).await), "overloaded");
    web.submit(json!(2)).await;
    // 8 MiB have 8 s more.
    eventually("room", 2 * SOON, async || web.get(&path).await.status() == StatusCode::OK).await;
    assert!(begun.elapsed() > Duration::from_secs(8), "a slow line is fast enough: {:?}", begun.elapsed());
}

#[tokio::test]
async fn who_finds_no_place_to_wait_is_told_at_once_how_far_it_is() {
    let (vhost, web) = limited("waiting", &["--max-waiting", "1"]).await;
    let id = web.submit(json!(1)).await;
    let first = web.poll(&id).await;
    let begun = Instant::now();
    let second = web.get(&format!("/api/v1/requests/{id}?wait=60s")).await;
    assert!(begun.elapsed() < SOON, "took {:?}", begun.elapsed());
    assert_eq!((second.status(), &second.headers()["retry-after"]), (StatusCode::OK, &"5".parse().expect("a header")));
    assert_eq!(second.json::<Value>().await.expect("is JSON")["status"], "queued");
    result(&vhost, &json!(id), json!(1)).await;
    assert_eq!(first.await.expect("does not panic").1["status"], "succeeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_http_2_connection_carries_a_hundred_requests_at_a_time() {
    let (vhost, web) = limited("http2", &[]).await;
    let id = web.submit(json!(1)).await;
    let http = Client::builder().http2_prior_knowledge().build().expect("a client");
    let polls: Vec<_> = (0..150)
        .map(|_| {
            let poll = http.get(format!("{}/api/v1/requests/{id}?wait=60s", web.base)).send();
            tokio::spawn(async { poll.await.expect("is answered").json::<Value>().await.expect("is JSON") })
        })
        .collect();
    let metrics = async || web.get("/metrics").await.text().await.expect("is text");
    eventually("a hundred to wait", SOON, async || metrics().await.contains("long_polls 100\n")).await;
    result(&vhost, &json!(id), json!(1)).await;
    for poll in polls {
        assert_eq!(poll.await.expect("does not panic")["status"], "succeeded");
    }
}

//! The handler http, with a real server.

use crate::exec::{handler, says};
use axum::{
    Router,
    body::Body,
    extract::ConnectInfo,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

/// Serves on a free port until the test ends.
pub async fn serve(routes: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move { axum::serve(listener, routes).await });
    address
}

/// Reads a request, says this, and hangs up.
async fn serve_once(words: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.expect("somebody comes");
        // The handler sends header and body of its small request at once.
        let _ = client.read(&mut [0; 4096]).await.expect("a request");
        client.write_all(words.as_bytes()).await.expect("somebody listens");
    });
    address
}

async fn says_to(address: SocketAddr, path: &str, data: &str) -> String {
    let url = format!("--http-url=http://{address}{path}");
    says(&handler(&["--handler=http", &url, "--max-result-bytes=100000"]), data).await
}

#[tokio::test]
async fn the_server_gets_the_data_as_it_is_and_its_answer_is_the_result() {
    let address = serve(Router::new().route("/", post(async |body: String| body))).await;
    assert_eq!(says_to(address, "/", r#"{"a": [1.0]}"#).await, r#"done {"a": [1.0]}"#);
}

#[tokio::test]
async fn the_server_learns_of_request_attempt_and_trace_from_headers() {
    let names = ["content-type", "x-request-id", "x-attempt", "idempotency-key", "traceparent"];
    let echo = async move |headers: HeaderMap| {
        let values: Vec<_> = names.map(|name| headers[name].to_str().expect("is text").to_owned()).into();
        axum::Json(values)
    };
    let address = serve(Router::new().route("/", post(echo))).await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    assert_eq!(says_to(address, "/", "0").await, format!(r#"done ["application/json","17","2","17","{trace}"]"#));
}

#[tokio::test]
async fn an_empty_success_is_null_and_one_without_json_is_final() {
    let routes =
        Router::new().route("/empty", post(async || StatusCode::NO_CONTENT)).route("/html", post(async || "<html>"));
    let address = serve(routes).await;
    assert_eq!(says_to(address, "/empty", "0").await, "done null");
    assert!(says_to(address, "/html", "0").await.starts_with("never answered 200 OK with no JSON"));
}

#[tokio::test]
async fn a_server_that_is_busy_says_when_to_come_again() {
    let busy = |status: u16, pause: &'static str| {
        post(async move || (StatusCode::from_u16(status).expect("is a status"), [("retry-after", pause)], "busy"))
    };
    let routes = Router::new()
        .route("/many", busy(429, "7"))
        .route("/away", busy(503, "Sun, 06 Nov 1994 08:49:37 GMT"))
        .route("/slow", busy(408, "8"))
        .route("/early", busy(425, "9"))
        .route("/broken", post(async || StatusCode::INTERNAL_SERVER_ERROR));
    let address = serve(routes).await;
    assert_eq!(says_to(address, "/many", "0").await, "again in 7s answered 429 Too Many Requests: `busy`");
    assert!(says_to(address, "/away", "0").await.starts_with("again in 0ns answered 503"), "that date is long past");
    assert_eq!(says_to(address, "/slow", "0").await, "again in 8s answered 408 Request Timeout: `busy`");
    assert_eq!(says_to(address, "/early", "0").await, "again in 9s answered 425 Too Early: `busy`");
    assert_eq!(says_to(address, "/broken", "0").await, "again answered 500 Internal Server Error");
}

#[tokio::test]
async fn a_connection_is_used_again_at_once_and_never_after_it_was_idle_for_a_second() {
    let port = async |ConnectInfo(client): ConnectInfo<SocketAddr>| axum::Json(client.port());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    let routes = Router::new().route("/", post(port)).into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let handler = handler(&["--handler=http", &format!("--http-url=http://{address}")]);
    let first = says(&handler, "0").await;
    assert_eq!(says(&handler, "0").await, first);
    // Nothing shows that a connection has been idle for too long, but that it is not used any more.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_ne!(says(&handler, "0").await, first);
}

#[tokio::test]
async fn a_refusal_or_a_redirect_is_final_and_its_words_are_kept() {
    let routes = Router::new()
        .route("/bad", post(async || (StatusCode::UNPROCESSABLE_ENTITY, "no such picture")))
        .route("/moved", post(async || (StatusCode::FOUND, [("location", "/bad")])));
    let address = serve(routes).await;
    let refused = says_to(address, "/bad", "0").await;
    assert_eq!(refused, "never answered 422 Unprocessable Entity: `no such picture`");
    assert_eq!(says_to(address, "/moved", "0").await, "never answered 302 Found");
}

#[tokio::test]
async fn a_result_that_is_too_large_is_final() {
    let endless = async || {
        let chunks = futures::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b'x'; 1000]));
        Body::from_stream(chunks)
    };
    let address = serve(Router::new().route("/", post(endless))).await;
    let said = says_to(address, "/", "0").await;
    assert!(said.starts_with("never answered 200 OK with more than 100000 bytes"), "{said}");
}

#[tokio::test]
async fn a_server_that_is_away_or_breaks_off_is_tried_again() {
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n12345";
    let said = says_to(serve_once(half).await, "/", "0").await;
    assert!(said.starts_with("again the answer (200 OK) broke off"), "{said}");
    let nobody = SocketAddr::from(([127, 0, 0, 1], warren_testkit::free_port()));
    let said = says_to(nobody, "/", "0").await;
    assert!(said.starts_with("again POST http://127.0.0.1:") && said.contains("refused"), "{said}");
}

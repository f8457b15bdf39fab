//! What a Service is on this machine: a TCP port whose connections go to the ready replicas in turn.

use super::board::Board;
use crate::labels::Side;
use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};
use tokio::{
    io::{AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::CancellationToken;

/// How long a client is kept while no replica is ready: longer than one takes to come back.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often it is looked for one meanwhile.
const LOOK: Duration = Duration::from_millis(50);
/// How many ports after the wanted one are tried.
const PORTS: u16 = 100;

/// No port could be had.
#[derive(Debug, thiserror::Error)]
#[error("no port from {first} to {last} is free on 127.0.0.1: choose another with --port")]
pub struct GatewayError {
    first: u16,
    last: u16,
    source: io::Error,
}

/// A port that is open.
pub struct Gateway {
    listener: TcpListener,
    /// Its number.
    pub port: u16,
}

impl Gateway {
    /// Takes port `first`, or the next one that is free.
    ///
    /// # Errors
    /// None of a hundred is free.
    pub async fn open(first: u16) -> Result<Self, GatewayError> {
        let last = first.saturating_add(PORTS);
        let mut refusal = io::Error::from(io::ErrorKind::AddrInUse);
        for port in first..=last {
            match TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
                Ok(listener) => return Ok(Self { listener, port }),
                Err(error) => refusal = error,
            }
        }
        Err(GatewayError { first, last, source: refusal })
    }

    /// Passes connections on to `pipeline`'s web replicas, until `stop`.
    pub async fn run(self, pipeline: String, board: Board, stop: CancellationToken) {
        let mut turn = 0_usize;
        while let Some(accepted) = stop.run_until_cancelled(self.listener.accept()).await {
            let Ok((client, _)) = accepted else {
                // Out of file descriptors, mostly: a pause lets some go.
                tokio::time::sleep(LOOK).await;
                continue;
            };
            turn = turn.wrapping_add(1);
            tokio::spawn(serve(client, pipeline.clone(), board.clone(), turn));
        }
    }
}

async fn serve(mut client: TcpStream, pipeline: String, board: Board, turn: usize) {
    let connecting = connect(&pipeline, &board, turn);
    match tokio::time::timeout(PATIENCE, connecting).await {
        Ok(mut replica) => {
            let _ = (client.set_nodelay(true), replica.set_nodelay(true));
            // Either end may go away at any time; that is between them.
            let _ = copy_bidirectional(&mut client, &mut replica).await;
        }
        Err(_) => {
            let _ = client.write_all(nobody_ready().as_bytes()).await;
        }
    }
}

async fn connect(pipeline: &str, board: &Board, turn: usize) -> TcpStream {
    loop {
        let ready: Vec<SocketAddr> = board.ready(pipeline, Side::Web);
        if let Some(address) = ready.get(turn.checked_rem(ready.len()).unwrap_or(0))
            && let Ok(replica) = TcpStream::connect(address).await
        {
            return replica;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// An honest answer in the API's own form.
fn nobody_ready() -> String {
    let body = concat!(
        r#"{"type":"https://warren.dev/problems/no-web-replica","title":"No web replica is ready","status":503,"#,
        r#""detail":"no replica of the web side is ready: the terminal where `warren-operator local` runs says why"}"#
    );
    format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\nretry-after: 2\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_port_gives_way_to_the_next_free_one() {
        let first = Gateway::open(20_800).await.expect("some port is free");
        let second = Gateway::open(first.port).await.expect("another is free");
        assert!(second.port > first.port);
    }

    #[test]
    fn the_answer_without_a_replica_is_a_whole_http_response() {
        let answer = nobody_ready();
        let (head, body) = answer.split_once("\r\n\r\n").expect("has a body");
        assert!(head.contains(&format!("content-length: {}", body.len())));
        let problem: serde_json::Value = serde_json::from_str(body).expect("is JSON");
        assert_eq!(problem["status"], 503);
    }
}

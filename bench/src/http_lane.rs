//! One keep-alive HTTP/1.1 connection that submits one request at a time. Written by hand: a full client would take
//! a good part of the machine that is to be measured.

use crate::{load::Lane, sample};
use anyhow::{Context as _, bail, ensure};
use std::sync::Arc;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// More than any answer to a submit has.
const ANSWER_BYTES: usize = 8192;

/// One connection.
pub struct HttpLane {
    stream: TcpStream,
    request: Arc<[u8]>,
    answer: Box<[u8]>,
}

/// The bytes of a submit.
pub fn submit(port: u16) -> Arc<[u8]> {
    let body = sample::submit();
    let head = format!(
        "POST /api/v1/processData HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    (head + &body).into_bytes().into()
}

/// The status of `GET path`, or an error while nobody answers.
pub async fn status_of(port: u16, path: &str) -> anyhow::Result<u16> {
    let request = format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n\r\n");
    let mut lane = HttpLane::open(port, request.into_bytes().into()).await?;
    lane.exchange().await.map(|(status, _)| status)
}

impl HttpLane {
    /// Connects.
    pub async fn open(port: u16, request: Arc<[u8]>) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, request, answer: vec![0; ANSWER_BYTES].into() })
    }

    /// Sends the request and reads the whole answer: its status and length.
    async fn exchange(&mut self) -> anyhow::Result<(u16, usize)> {
        self.stream.write_all(&self.request).await?;
        let mut read = 0;
        loop {
            ensure!(read < self.answer.len(), "the answer is longer than {ANSWER_BYTES} bytes");
            let more = self.stream.read(&mut self.answer[read..]).await?;
            ensure!(more > 0, "the connection ended in the middle of an answer");
            read += more;
            if let Some((status, whole)) = head(&self.answer[..read])? {
                ensure!(read <= whole, "more than one answer came");
                if read == whole {
                    return Ok((status, whole));
                }
            }
        }
    }
}

impl Lane for HttpLane {
    async fn once(&mut self) -> anyhow::Result<()> {
        let (status, length) = self.exchange().await?;
        if status != 202 {
            bail!("a submit was not accepted:\n{}", String::from_utf8_lossy(&self.answer[..length]));
        }
        Ok(())
    }
}

/// Status, and length of head and body together, once the head is complete.
fn head(answer: &[u8]) -> anyhow::Result<Option<(u16, usize)>> {
    let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&answer[..end])?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|word| word.parse().ok());
    let length = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse::<usize>().ok());
    let status = status.with_context(|| format!("no HTTP status in `{head}`"))?;
    let length = length.with_context(|| format!("no content-length in `{head}`"))?;
    Ok(Some((status, end + 4 + length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_once_its_body_is_there() {
        let answer = b"HTTP/1.1 202 Accepted\r\nContent-Length: 5\r\n\r\nhello";
        assert_eq!(head(answer).expect("is HTTP"), Some((202, answer.len())));
        assert_eq!(head(&answer[..30]).expect("is HTTP so far"), None);
    }

    #[test]
    fn an_answer_without_a_length_is_refused() {
        assert!(head(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
    }
}

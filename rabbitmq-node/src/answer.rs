//! Whether the node answers.

use std::{io, net::Ipv4Addr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// How long one attempt may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whether a connection to this port is accepted.
pub(crate) async fn accepts(port: u16) -> bool {
    matches!(timeout(PATIENCE, TcpStream::connect((Ipv4Addr::LOCALHOST, port))).await, Ok(Ok(_)))
}

/// Whether this port begins an AMQP handshake.
pub(crate) async fn speaks_amqp(port: u16) -> bool {
    matches!(timeout(PATIENCE, handshake(port)).await, Ok(Ok(true)))
}

/// Whether an Erlang port mapper answers on this port.
pub(crate) async fn speaks_epmd(port: u16) -> bool {
    matches!(timeout(PATIENCE, names(port)).await, Ok(Ok(())))
}

/// Asks for the names it knows (NAMES_REQ, 110) and reads the port number that its answer begins with. To connect and
/// say nothing would leave a complaint in the log.
async fn names(port: u16) -> io::Result<()> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    stream.write_all(&[0, 1, 110]).await?;
    stream.read_exact(&mut [0; 4]).await.map(drop)
}

/// Sends the protocol header (AMQP 0-9-1, §4.2.2) and reads as far as the method's name.
async fn handshake(port: u16) -> io::Result<bool> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    stream.write_all(b"AMQP\0\0\x09\x01").await?;
    let mut frame = [0; 11];
    stream.read_exact(&mut frame).await?;
    Ok(is_connection_start(&frame))
}

/// A method frame (1) of channel 0, then its size (4 bytes), then class 10 (connection) and method 10 (start).
fn is_connection_start(frame: &[u8; 11]) -> bool {
    frame[..3] == [1, 0, 0] && frame[7..] == [0, 10, 0, 10]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_connection_start_frame_counts_as_an_answer() {
        assert!(is_connection_start(&[1, 0, 0, 0, 0, 1, 244, 0, 10, 0, 10]));
        assert!(!is_connection_start(b"AMQP\0\0\x09\x01..."));
        assert!(!is_connection_start(b"HTTP/1.1 40"));
    }
}

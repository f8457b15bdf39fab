//! One connection through the proxy.

use std::{io, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy, copy_bidirectional, sink},
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// What the proxy does with bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Passes them on.
    Forward,
    /// Takes them, and drops them.
    Swallow,
    /// Takes them and drops those of the clients; those of the server are passed on.
    SwallowRequests,
    /// As [`Mode::Swallow`] for connections that were there when it began; passes those of newer ones on.
    SwallowOlder,
    /// Passes them on this much later.
    Delay(Duration),
    /// Takes none.
    Refuse,
}

impl Mode {
    /// Whether connections live on when it begins.
    pub(super) fn keeps_connections(self) -> bool {
        matches!(self, Self::Swallow | Self::SwallowRequests | Self::SwallowOlder | Self::Delay(_))
    }
}

/// The next connection; never, without a listener.
pub(super) async fn accept(listener: Option<&TcpListener>) -> TcpStream {
    let Some(listener) = listener else { return std::future::pending().await };
    loop {
        // An error is the client's: it was gone before it was accepted.
        if let Ok((stream, _)) = listener.accept().await {
            return stream;
        }
    }
}

/// Serves a connection until it ends. Whoever cancels this resets it.
pub(super) async fn run(client: TcpStream, upstreams: Arc<[String]>, turn: usize, mut mode: watch::Receiver<Mode>) {
    let mut client = End { stream: client, orderly: false };
    let born = *mode.borrow();
    if born == Mode::Swallow {
        return drain(&mut client.stream).await;
    }
    let Some(server) = connect(&upstreams, turn).await else { return };
    let mut server = End { stream: server, orderly: false };
    loop {
        let now = match *mode.borrow_and_update() {
            Mode::SwallowOlder if born == Mode::SwallowOlder => Mode::Forward,
            Mode::SwallowOlder => Mode::Swallow,
            other => other,
        };
        let passing = pass(&mut client.stream, &mut server.stream, now);
        tokio::select! {
            orderly = passing => {
                client.orderly = orderly;
                server.orderly = orderly;
                return;
            }
            // An error means that the proxy has ended, and cancels this in a moment.
            _ = mode.changed() => {}
        }
    }
}

/// The first that takes a connection, from the one whose turn it is on.
async fn connect(upstreams: &[String], turn: usize) -> Option<TcpStream> {
    for upstream in upstreams.iter().cycle().skip(turn).take(upstreams.len()) {
        if let Ok(server) = TcpStream::connect(upstream).await {
            return Some(server);
        }
    }
    None
}

/// Passes bytes on until both sides have ended; says whether they did so in order. A side that gives up while bytes
/// are swallowed is not reported to the other.
async fn pass(client: &mut TcpStream, server: &mut TcpStream, mode: Mode) -> bool {
    match mode {
        Mode::Forward | Mode::Refuse => copy_bidirectional(client, server).await.is_ok(),
        Mode::Swallow | Mode::SwallowOlder => {
            tokio::join!(drain(client), drain(server));
            false
        }
        Mode::SwallowRequests => {
            let ((mut from_client, mut to_client), (mut from_server, _)) = (client.split(), server.split());
            let _ = tokio::join!(drain(&mut from_client), copy(&mut from_server, &mut to_client));
            false
        }
        Mode::Delay(by) => {
            let ((from_client, to_client), (from_server, to_server)) = (client.split(), server.split());
            let _ = tokio::try_join!(late(from_client, to_server, by), late(from_server, to_client, by));
            false
        }
    }
}

/// Passes on what comes, a piece at a time.
async fn late(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, by: Duration) -> io::Result<()> {
    let mut piece = [0; 16 << 10];
    loop {
        let read = from.read(&mut piece).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        tokio::time::sleep(by).await;
        to.write_all(&piece[..read]).await?;
    }
}

async fn drain(from: &mut (impl AsyncRead + Unpin)) {
    let _ = copy(from, &mut sink()).await;
}

/// One end of the connection. Unless both sides closed it in order, it is closed with a reset, as when a machine is
/// gone.
struct End {
    stream: TcpStream,
    orderly: bool,
}

impl Drop for End {
    fn drop(&mut self) {
        if !self.orderly {
            // It fails only on a socket that is closed already.
            let _ = self.stream.set_zero_linger();
        }
    }
}

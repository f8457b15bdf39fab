//! One connection through the proxy.

use tokio::{
    io::{AsyncRead, copy, copy_bidirectional, sink},
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
    /// Takes none.
    Refuse,
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
pub(super) async fn run(client: TcpStream, upstream: String, mut mode: watch::Receiver<Mode>) {
    let mut client = End { stream: client, orderly: false };
    if *mode.borrow() == Mode::Swallow {
        return drain(&mut client.stream).await;
    }
    let Ok(server) = TcpStream::connect(&upstream).await else { return };
    let mut server = End { stream: server, orderly: false };
    tokio::select! {
        ended = copy_bidirectional(&mut client.stream, &mut server.stream) => {
            client.orderly = ended.is_ok();
            server.orderly = ended.is_ok();
        }
        () = swallowed(&mut mode) => {
            // Both to the end: a side that gives up is not reported to the other.
            tokio::join!(drain(&mut client.stream), drain(&mut server.stream));
        }
    }
}

async fn swallowed(mode: &mut watch::Receiver<Mode>) {
    // An error means that the proxy has ended, and cancels this in a moment.
    let _ = mode.wait_for(|mode| *mode == Mode::Swallow).await;
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

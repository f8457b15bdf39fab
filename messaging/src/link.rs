//! A connection to RabbitMQ that comes back by itself.
//!
//! [`Link::keep`] connects, waits until the pipeline's topology is there, hands the connection to a
//! [`Session`], and begins anew whenever that ends in an error: broker restarted, network cut, queue deleted,
//! login refused for a while. Who wants to know reads the [`LinkState`].
//!
//! This is our own loop rather than lapin's `enable_auto_recover`: that one replays what a channel had, while a
//! worker has to look first whether its queues exist, must not retry a refused login as if it were a cut wire,
//! and owes `/readyz` the reason for which it waits.

mod channel;
mod error;
mod socket;
mod state;

pub use channel::open_channel;
pub(crate) use channel::pipelined;
pub use error::LinkError;
pub use state::LinkState;

use self::socket::Socket;
use crate::{
    broker::Broker,
    error_chain::Chain,
    topology::{TopologyPlan, check},
};
use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use lapin::{
    Connection, ConnectionProperties,
    runtime::default_runtime,
    tcp::{AsyncTcpStream, RustlsConnector},
};
use std::{
    future::Future,
    time::{Duration, Instant},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How long one attempt to connect may take, handshake included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a missing topology is looked for again.
const TOPOLOGY_POLL: Duration = Duration::from_secs(1);
/// How often a connection is looked at: sessions mostly hear of its loss themselves.
const LOSS_POLL: Duration = Duration::from_millis(500);
/// How long a session may take to hear of the loss of its connection and to leave.
const LOSS_PATIENCE: Duration = Duration::from_secs(5);
/// A session that lived this long was a good one: the next failure starts with the shortest pause again.
const GOOD_SESSION: Duration = Duration::from_secs(10);

/// What is done with a connection while it lives.
pub trait Session: Send {
    /// Works on the connection until `opened.stop` is cancelled (then `Ok`) or the connection is of no more use.
    /// Calls [`Opened::ready`] once its own preparations are made.
    fn serve(&mut self, opened: Opened<'_>) -> impl Future<Output = Result<(), LinkError>> + Send;
}

/// An open connection, with the topology in place.
pub struct Opened<'a> {
    /// The connection.
    pub connection: &'a Connection,
    /// What [`LinkState`] readers see.
    pub state: &'a watch::Sender<LinkState>,
    /// Cancelled when the process wants to stop.
    pub stop: &'a CancellationToken,
}

impl Opened<'_> {
    /// Tells that the session does its job from now on. Not earlier: who sees `Ready` relies on it.
    pub fn ready(&self) {
        self.state.send_replace(LinkState::Ready);
    }
}

/// How large the frames of a connection may be. lapin reserves 64 of them. Bodies are split into as many as it takes, but
/// headers come in one, and a connection that agreed on less than a message's headers need breaks whenever the broker
/// delivers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frames {
    /// 32 KiB, for who takes no messages of foreign senders: 2 MiB.
    Small,
    /// 128 KiB, more than which RabbitMQ grants no sender either: 8 MiB.
    Large,
}

impl Frames {
    fn bytes(self) -> u32 {
        match self {
            Self::Small => 32 * 1024,
            Self::Large => 128 * 1024,
        }
    }
}

/// A connection to keep.
pub struct Link {
    broker: Broker,
    name: String,
    needs: Option<TopologyPlan>,
    frames: Frames,
    state: watch::Sender<LinkState>,
}

impl Link {
    /// A link named `name` at the broker (its management page shows the name), which serves only once all that
    /// `needs` names exists.
    #[must_use]
    pub fn new(broker: impl Into<Broker>, name: impl Into<String>, needs: Option<TopologyPlan>) -> Self {
        let (state, _) = watch::channel(LinkState::Connecting { last_error: None });
        Self { broker: broker.into(), name: name.into(), needs, frames: Frames::Large, state }
    }

    /// The link, for who takes no messages of foreign senders.
    #[must_use]
    pub fn with_small_frames(self) -> Self {
        Self { frames: Frames::Small, ..self }
    }

    /// What the link is doing, always the latest.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<LinkState> {
        self.state.subscribe()
    }

    /// Keeps the connection until `stop` is cancelled and the session has ended.
    pub async fn keep(self, mut session: impl Session, stop: CancellationToken) {
        let mut pauses = pauses();
        while !stop.is_cancelled() {
            let begun = Instant::now();
            let Err(error) = self.once(&mut session, &stop).await else { continue };
            if begun.elapsed() > GOOD_SESSION {
                pauses = self::pauses();
            }
            let pause = pauses.next().unwrap_or(GOOD_SESSION);
            self.report(&error, pause);
            let _ = stop.run_until_cancelled(tokio::time::sleep(pause)).await;
        }
        self.state.send_replace(LinkState::Stopped);
    }

    /// One connection's life.
    async fn once(&self, session: &mut impl Session, stop: &CancellationToken) -> Result<(), LinkError> {
        let Some(opened) = stop.run_until_cancelled(self.open()).await else { return Ok(()) };
        let connection = opened?;
        let result = self.serve(&connection, session, stop).await;
        // Already dead after most errors; then there is nobody left to tell.
        let _ = tokio::time::timeout(Duration::from_secs(2), connection.close(200, "done".into())).await;
        result
    }

    async fn serve(
        &self,
        connection: &Connection,
        session: &mut impl Session,
        stop: &CancellationToken,
    ) -> Result<(), LinkError> {
        let serving = async {
            let Some(found) = stop.run_until_cancelled(self.await_topology(connection)).await else { return Ok(()) };
            found?;
            tracing::info!(link = self.name, broker = %self.broker.url, "connected");
            session.serve(Opened { connection, state: &self.state, stop }).await
        };
        tokio::select! {
            served = serving => served,
            // Also when the process wants to stop: what runs is no part of the session, and waited for after it.
            () = outlived(connection) => Err(LinkError::ChannelClosed),
        }
    }

    async fn open(&self) -> Result<Connection, LinkError> {
        connect(&self.broker, &self.name, self.frames).await
    }

    async fn await_topology(&self, connection: &Connection) -> Result<(), LinkError> {
        let Some(plan) = &self.needs else { return Ok(()) };
        loop {
            let missing = check::missing(connection, plan).await?;
            if missing.is_empty() {
                return Ok(());
            }
            let waiting = LinkState::TopologyMissing { missing };
            if *self.state.borrow() != waiting {
                tracing::warn!(link = self.name, "{waiting}");
                self.state.send_replace(waiting);
            }
            tokio::time::sleep(TOPOLOGY_POLL).await;
        }
    }

    /// Says it once per cause; a broker that stays away is not worth a line every few seconds.
    fn report(&self, error: &LinkError, pause: Duration) {
        let text = Chain(error).to_string();
        let pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        let known = matches!(&*self.state.borrow(), LinkState::Connecting { last_error: Some(last) } if *last == text);
        if known {
            tracing::debug!(link = self.name, pause_ms, "{text}; trying again");
        } else {
            tracing::warn!(link = self.name, pause_ms, "{text}; trying again until it works");
        }
        self.state.send_replace(LinkState::Connecting { last_error: Some(text) });
    }
}

/// Until a connection has been lost for so long that who still waits for it has missed that. lapin 4.12 forgets what it is
/// told at the moment of a loss: of 60 cuts under traffic, 5 left a `Acker::ack` that never ended.
pub fn outlived(connection: &Connection) -> impl Future<Output = ()> + Send + use<> {
    let status = connection.status().clone();
    async move {
        while status.connected() {
            tokio::time::sleep(LOSS_POLL).await;
        }
        tokio::time::sleep(LOSS_PATIENCE).await;
    }
}

/// Opens one connection that will not come back by itself: for a check, a declaration, a test.
///
/// # Errors
/// The broker cannot be reached, is not the one that it should be, refuses the login or the virtual host, or does not
/// answer in time.
pub async fn connect(broker: &Broker, name: &str, frames: Frames) -> Result<Connection, LinkError> {
    let tls = broker.tls().map_err(|source| LinkError::NoAuthorities { source })?;
    let socket = Socket::default();
    let guard = socket.guard();
    match tokio::time::timeout(CONNECT_TIMEOUT, open(broker, name, frames, tls, socket)).await {
        Ok(Ok(connection)) => {
            guard.give_up();
            Ok(connection)
        }
        Ok(Err(error)) => Err(LinkError::from_connect(broker, error)),
        Err(_) => Err(LinkError::NoAnswer { broker: broker.host_and_port() }),
    }
}

async fn open(
    broker: &Broker,
    name: &str,
    frames: Frames,
    tls: Option<RustlsConnector>,
    socket: Socket,
) -> lapin::Result<Connection> {
    let mut uri = broker.url.to_uri();
    uri.query.frame_max = Some(frames.bytes());
    let place = (place(broker).await, broker.url.port());
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    let connecting = Connection::connector(
        uri,
        default_runtime()?,
        async move |uri, runtime| {
            let plain = AsyncTcpStream::connect(&runtime, runtime.to_socket_addrs(place.clone())).await?;
            if let AsyncTcpStream::Plain(stream) = &plain {
                socket.remember(stream.get_ref())?;
            }
            match &tls {
                None => Ok(plain),
                Some(tls) => Ok(plain.into_rustls(tls, &uri.authority.host).await?),
            }
        },
        properties,
    );
    connecting.await
}

/// The name by which the host is reached: the one under which it is looked for first, or where nothing is called that its
/// own.
async fn place(broker: &Broker) -> String {
    match &broker.looked_up_as {
        Some(name) if tokio::net::lookup_host((name.as_str(), broker.url.port())).await.is_ok() => name.clone(),
        _ => broker.url.host().to_owned(),
    }
}

/// 0.1 s, 0.2 s, … 5 s, then 5 s for ever, each with up to as much again by chance, so that a thousand workers
/// do not return to a restarted broker in one instant.
fn pauses() -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(100))
        .with_max_delay(Duration::from_secs(5))
        .with_jitter()
        .without_max_times()
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_links_do_not_pause_alike_and_neither_longer_than_ten_seconds() {
        let some = || pauses().take(20).collect::<Vec<_>>();
        let (one, other) = (some(), some());
        assert_ne!(one, other);
        assert!(one[0] >= Duration::from_millis(100) && one[0] <= Duration::from_millis(200), "{one:?}");
        assert!(one.iter().chain(&other).all(|pause| *pause <= Duration::from_secs(10)), "{one:?} {other:?}");
    }
}

//! A TCP proxy that breaks the network on demand.

mod relay;

use crate::free_port;
use relay::Mode;
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        mpsc::{Sender, channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};
use tokio::{net::TcpListener, runtime, sync::mpsc, sync::watch, task::JoinSet};

/// A TCP proxy in front of a server. It runs on a thread of its own, so it works while a test blocks, and in any
/// runtime. Dropping it cuts all connections.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    orders: Option<mpsc::UnboundedSender<Order>>,
    thread: Option<JoinHandle<()>>,
}

/// A mode to change to, and whom to tell when it is done.
type Order = (Mode, Sender<()>);

impl Proxy {
    /// Starts one in front of `upstream` (`host:port`), forwarding.
    ///
    /// # Panics
    /// When no port is to be had.
    #[must_use]
    pub fn start(upstream: impl ToString) -> Self {
        Self::start_at(Ipv4Addr::LOCALHOST.into(), upstream)
    }

    /// The same on another address of this machine, for whom loopback is another machine's: Pods.
    ///
    /// # Panics
    /// When no port is to be had.
    #[must_use]
    pub fn start_at(address: IpAddr, upstream: impl ToString) -> Self {
        Self::listening(address, [upstream.to_string()].into())
    }

    /// In front of several servers, as a balancer: each connection goes to the next one that takes it.
    ///
    /// # Panics
    /// When no port is to be had.
    #[must_use]
    pub fn balancing(upstreams: &[String]) -> Self {
        Self::listening(Ipv4Addr::LOCALHOST.into(), upstreams.into())
    }

    fn listening(address: IpAddr, upstreams: Arc<[String]>) -> Self {
        // Not any port of the system's: it must be there again after a cut.
        let address = SocketAddr::from((address, free_port()));
        let (orders, incoming) = mpsc::unbounded_channel();
        let thread = thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a thread can have a runtime").block_on(serve(address, upstreams, incoming));
        });
        let proxy = Self { address, orders: Some(orders), thread: Some(thread) };
        proxy.change(Mode::Forward);
        proxy
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same URL with the proxy's host and port: `amqp://guest:guest@broker:5672/%2f` becomes
    /// `amqp://guest:guest@127.0.0.1:12345/%2f`.
    ///
    /// # Panics
    /// When it is no URL with a host.
    #[must_use]
    pub fn url(&self, url: &str) -> String {
        let mut url = reqwest::Url::parse(url).unwrap_or_else(|error| panic!("{url:?} is no URL: {error}"));
        url.set_host(Some(&self.address.ip().to_string())).expect("the URL has a host to replace");
        url.set_port(Some(self.address.port())).expect("the URL has a host, so it can have a port");
        url.into()
    }

    /// Resets all connections and refuses new ones, as when the server is gone. Done when it returns.
    pub fn cut(&self) {
        self.change(Mode::Refuse);
    }

    /// Accepts bytes and connections and forwards nothing, either way, as when a firewall drops packets: neither side
    /// hears that anything is wrong.
    pub fn swallow(&self) {
        self.change(Mode::Swallow);
    }

    /// As [`Proxy::swallow`], but only what the clients send: they go on hearing the server.
    pub fn swallow_requests(&self) {
        self.change(Mode::SwallowRequests);
    }

    /// As [`Proxy::swallow`], but only for the connections that there are: new ones are forwarded, as when a firewall has
    /// forgotten its connections, or a server came back on another machine.
    pub fn swallow_older(&self) {
        self.change(Mode::SwallowOlder);
    }

    /// Passes bytes on late, 16 KiB at a time, each way: a long and narrow line.
    pub fn delay(&self, by: Duration) {
        self.change(Mode::Delay(by));
    }

    /// Forwards again. Connections that were swallowed or delayed are reset: their bytes are lost.
    pub fn restore(&self) {
        self.change(Mode::Forward);
    }

    fn change(&self, mode: Mode) {
        let (done, wait) = channel();
        let orders = self.orders.as_ref().expect("only Drop takes it");
        let accepted = orders.send((mode, done)).is_ok();
        assert!(accepted && wait.recv().is_ok(), "the proxy's thread has ended; its panic is above");
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // The thread ends when there can be no more orders.
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Carries out orders, and accepts connections in between.
async fn serve(address: SocketAddr, upstreams: Arc<[String]>, mut orders: mpsc::UnboundedReceiver<Order>) {
    let (mode, _) = watch::channel(Mode::Refuse);
    let mut listener: Option<TcpListener> = None;
    let mut relays = JoinSet::new();
    let mut turn = 0;
    loop {
        tokio::select! {
            order = orders.recv() => {
                let Some((wanted, done)) = order else { return };
                change(wanted, &mode, &mut listener, &mut relays, address).await;
                let _ = done.send(());
            }
            client = relay::accept(listener.as_ref()) => {
                turn = (turn + 1) % upstreams.len().max(1);
                relays.spawn(relay::run(client, upstreams.clone(), turn, mode.subscribe()));
            }
            Some(_) = relays.join_next() => {}
        }
    }
}

async fn change(
    wanted: Mode,
    mode: &watch::Sender<Mode>,
    listener: &mut Option<TcpListener>,
    relays: &mut JoinSet<()>,
    address: SocketAddr,
) {
    let changed = mode.send_if_modified(|mode| std::mem::replace(mode, wanted) != wanted);
    if changed && !wanted.keeps_connections() {
        relays.shutdown().await;
    }
    match wanted {
        Mode::Refuse => *listener = None,
        _ if listener.is_none() => *listener = Some(bind(address).await),
        _ => {}
    }
}

async fn bind(address: SocketAddr) -> TcpListener {
    match TcpListener::bind(address).await {
        Ok(listener) => listener,
        Err(error) => panic!("the proxy cannot listen on {address}: {error}"),
    }
}

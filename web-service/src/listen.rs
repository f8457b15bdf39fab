//! Accepts connections and serves them, within [`ListenSettings`]: nobody who is slow, idle, greedy or many takes the
//! web side away from the others.
//!
//! This stands in for `axum::serve`, which has no limits. Each bounds something that a client could otherwise make
//! grow for ever: connections, the time a connection may do nothing, the time a request or an answer may take on its
//! way, and the bytes of both in memory.

mod answer;
mod body;
mod files;
mod pace;
mod settings;
mod stream;

pub use body::BodyFault;
pub use settings::ListenSettings;

use crate::{api::Problem, metrics::Metrics};
use answer::Answer;
use axum::{
    Router,
    body::Body,
    http::{HeaderValue, Request, Response, header},
    response::IntoResponse as _,
};
use body::Arriving;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto::Builder, graceful::GracefulShutdown},
};
use pace::Pace;
use std::{convert::Infallible, sync::Arc, time::Duration};
use stream::Stream;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

/// Connections beyond the limit that are told so, and may still ask how the web side is. Beyond these they are closed
/// without a word.
const CROWD: usize = 64;
/// A failing `accept` is mostly one for want of file descriptors, which others will give back.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Requests at a time on one HTTP/2 connection.
const MAX_STREAMS: u32 = 100;
/// What an HTTP/2 client may send ahead of whoever reads it, on a stream and on all of a connection.
const WINDOWS: (u32, u32) = (64 * 1024, 128 * 1024);
/// The longest request head, and what is kept of an answer that is being written.
const MAX_HEAD: usize = 16 * 1024;
/// Whoever operates the web side finds out what ails it, however crowded it is.
const ABOUT_US: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

/// What all connections share.
struct Server {
    app: Router,
    settings: ListenSettings,
    http: Builder<TokioExecutor>,
    metrics: Arc<Metrics>,
    places: Arc<Semaphore>,
    crowd: Arc<Semaphore>,
    bodies: Arc<Semaphore>,
    answers: Arc<Semaphore>,
}

/// Serves until `stop` is cancelled, and then until everyone who is connected has an answer.
pub async fn serve(
    listener: TcpListener,
    app: Router,
    settings: ListenSettings,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) {
    let server = Arc::new(Server::new(app, settings, metrics));
    let graceful = GracefulShutdown::new();
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((stream, _)) => server.clone().welcome(stream, &graceful),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection now: `ulimit -n` bounds how many there can be");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    graceful.shutdown().await;
}

impl Server {
    fn new(app: Router, settings: ListenSettings, metrics: Arc<Metrics>) -> Self {
        let places = files::allow(settings.max_connections);
        let held = || Arc::new(Semaphore::new(settings.max_held_bytes.min(Semaphore::MAX_PERMITS)));
        Self {
            app,
            http: http(),
            metrics,
            places: Arc::new(Semaphore::new(places)),
            crowd: Arc::new(Semaphore::new(CROWD)),
            bodies: held(),
            answers: held(),
            settings,
        }
    }

    /// Gives a connection its place, or one among the crowd, or none.
    fn welcome(self: Arc<Self>, stream: TcpStream, graceful: &GracefulShutdown) {
        let place = self.places.clone().try_acquire_owned().map(|place| (place, false));
        let place = place.or_else(|_| self.crowd.clone().try_acquire_owned().map(|place| (place, true)));
        if !matches!(place, Ok((_, false))) {
            self.metrics.connections_refused.inc();
        }
        // Without a place it is dropped, which closes it.
        let Ok((place, is_crowded)) = place else { return };
        // What is written waits for nothing that would be written with it. It fails only on a dead connection.
        let _ = stream.set_nodelay(true);
        let watcher = graceful.watcher();
        tokio::spawn(async move { self.attend(stream, place, is_crowded, watcher).await });
    }

    /// One connection's life.
    async fn attend(
        self: Arc<Self>,
        stream: TcpStream,
        _place: OwnedSemaphorePermit,
        is_crowded: bool,
        watcher: hyper_util::server::graceful::Watcher,
    ) {
        let _open = self.metrics.connected();
        let pace = Arc::new(Pace::new(self.settings.clone()));
        let (server, of_requests) = (self.clone(), pace.clone());
        let service = service_fn(move |request| {
            let (server, pace) = (server.clone(), of_requests.clone());
            async move { Ok::<_, Infallible>(server.answer(request, &pace, is_crowded).await) }
        });
        let stream = TokioIo::new(Stream::new(stream, pace.clone()));
        let connection = self.http.serve_connection(stream, service);
        tokio::select! {
            // How it ended is the client's affair.
            _ = watcher.watch(connection) => {}
            why = pace.overdue() => tracing::debug!(why, "closed a connection"),
        }
    }

    async fn answer(&self, request: Request<Incoming>, pace: &Arc<Pace>, is_crowded: bool) -> Response<Answer> {
        let _request = pace.begin();
        let counted = self.metrics.body_bytes.clone();
        let (request, _held) = Arriving::wrap(request, &self.settings, self.bodies.clone(), counted);
        let response = if is_crowded && !ABOUT_US.contains(&request.uri().path()) {
            Problem::TooManyConnections.into_response()
        } else {
            // A router never fails.
            self.app.clone().oneshot(request).await.unwrap_or_else(|never: Infallible| match never {})
        };
        let mut response = self.within_memory(response, pace);
        if is_crowded {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    fn within_memory(&self, response: Response<Body>, pace: &Arc<Pace>) -> Response<Answer> {
        Answer::wrap(response, &self.answers, self.settings.max_held_bytes, pace).unwrap_or_else(|| {
            let refusal = Problem::Overloaded.into_response();
            Answer::wrap(refusal, &self.answers, self.settings.max_held_bytes, pace).expect("is small")
        })
    }
}

/// HTTP/1.1, and HTTP/2 for who begins with it.
fn http() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    // hyper's own limit on a request's head counts from the end of the answer before, so that it would be one on idle
    // connections; `Pace` tells the two apart.
    builder.http1().timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(MAX_HEAD);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEAD as u32)
        .initial_stream_window_size(WINDOWS.0)
        .initial_connection_window_size(WINDOWS.1)
        .max_send_buf_size(MAX_HEAD)
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(10));
    builder
}

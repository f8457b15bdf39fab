//! The operator's connections: one per broker and login, however many pipelines use it. Nothing is published on them.
//!
//! One look at a time uses a connection. With lapin 4.12, a broker's refusal on one channel (a queue that is not there)
//! was seen to be reported to whoever had another channel of the connection at that moment.

use lapin::Connection;
use std::{
    ops::Deref,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::OwnedMutexGuard;
use warren_messaging::{
    broker::Broker,
    link::{self, Frames, LinkError},
};

/// Its name on the broker's management page.
const NAME: &str = "warren-operator";
/// After a failed attempt no other is made for this long, doubled each time up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// A broker that is back is used again within this time.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// A connection that nobody asked for is closed after this long: its pipelines are gone, or use another address.
const UNUSED: Duration = Duration::from_secs(120);

/// A connection on which so many channels were refused is replaced. lapin 4.12 keeps 7 KiB of each, since it gives its
/// number out once more and does not take it back, and after 2,047 opens no more.
const REFUSED: usize = 128;

/// How long a connection that is not used any more may take to close.
const FAREWELL: Duration = Duration::from_secs(5);

/// All connections.
#[derive(Default)]
pub struct Brokers {
    known: Mutex<Vec<Known>>,
}

#[derive(Clone)]
struct Known {
    broker: Broker,
    used: Instant,
    session: Arc<tokio::sync::Mutex<Session>>,
}

#[derive(Default)]
struct Session {
    connection: Option<Connection>,
    /// Channels that the broker has closed on it, about.
    refused: usize,
    failed: Option<Failed>,
}

/// A connection that nobody else uses until this is dropped.
pub struct InUse(OwnedMutexGuard<Session>);

impl Deref for InUse {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.0.connection.as_ref().expect("made from an open session only")
    }
}

impl InUse {
    /// The broker has closed so many channels: each question for what is not there costs one.
    pub fn refused(&mut self, channels: usize) {
        self.0.refused += channels;
    }
}

struct Failed {
    error: Arc<LinkError>,
    pause: Duration,
    until: Instant,
}

impl Brokers {
    /// An open connection to `broker`, for this caller alone. While a broker is away, all who ask get the last attempt's error at once, and
    /// only now and then one of them tries again.
    ///
    /// # Errors
    /// What keeps it from opening.
    pub async fn connection(&self, broker: &Broker) -> Result<InUse, Arc<LinkError>> {
        let mut session = self.session(broker).lock_owned().await;
        if session.refused >= REFUSED {
            session.close();
        }
        if session.connection.as_ref().is_some_and(|connection| connection.status().connected()) {
            return Ok(InUse(session));
        }
        session.connection = None;
        if let Some(failed) = session.failed.as_ref().filter(|failed| Instant::now() < failed.until) {
            return Err(failed.error.clone());
        }
        match link::connect(broker, NAME, Frames::Small).await {
            Ok(connection) => {
                *session = Session { connection: Some(connection), ..Session::default() };
                Ok(InUse(session))
            }
            Err(error) => Err(session.failed(error)),
        }
    }

    /// Closes the connection to `broker`; the next who asks gets another. For when an operation failed on it: lapin 4.12
    /// does not give back the number of every channel that a broker closed, and after 2,047 opens no more.
    pub async fn discard(&self, broker: &Broker) {
        close(self.session(broker)).await;
    }

    fn session(&self, broker: &Broker) -> Arc<tokio::sync::Mutex<Session>> {
        let (now, mut known) = (Instant::now(), self.known.lock().unwrap_or_else(PoisonError::into_inner));
        known.retain(|other| {
            let stays = other.broker == *broker || now.duration_since(other.used) < UNUSED;
            if !stays {
                tokio::spawn(close(other.session.clone()));
            }
            stays
        });
        if let Some(found) = known.iter_mut().find(|known| known.broker == *broker) {
            found.used = now;
            return found.session.clone();
        }
        let session = Arc::default();
        known.push(Known { broker: broker.clone(), used: now, session: Arc::clone(&session) });
        session
    }
}

/// Takes a session's connection away and has it closed: lapin keeps one whose channels were closed by the broker open
/// even when nobody has a handle of it any more.
async fn close(session: Arc<tokio::sync::Mutex<Session>>) {
    session.lock().await.close();
}

impl Session {
    fn close(&mut self) {
        self.refused = 0;
        let Some(connection) = self.connection.take() else { return };
        // A broker that does not answer keeps nobody waiting.
        tokio::spawn(async move { tokio::time::timeout(FAREWELL, connection.close(200, "used up".into())).await });
    }

    fn failed(&mut self, error: LinkError) -> Arc<LinkError> {
        let error = Arc::new(error);
        let pause = self.failed.as_ref().map_or(FIRST_PAUSE, |failed| (failed.pause * 2).min(LONGEST_PAUSE));
        self.failed = Some(Failed { error: error.clone(), pause, until: Instant::now() + pause });
        error
    }
}

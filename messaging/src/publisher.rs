//! Publishing with a promise: `Ok` means that the broker has the message, on a queue, for good.

mod lane;
mod presence;
mod renewal;
mod reporting;

pub use reporting::Contact;

use crate::{
    broker::Broker,
    link::{Link, LinkError, LinkState, Opened, Session},
    message::{LARGEST_BODY, Outgoing, Report},
    topology::TopologyPlan,
};
use futures::StreamExt as _;
use lane::Lane;
use lapin::{BasicProperties, Event};
use presence::Presence;
use renewal::Renewal;
use reporting::{Reporting, Turn};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

/// How many messages of one publisher may wait for their confirm. Bounds by how much a full queue overshoots
/// its limit, and memory.
const IN_FLIGHT: usize = 256;
/// How often a report is published; also the latest moment at which a memory or disk alarm is noticed, since a
/// broker tells only those who publish.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// A connection on which nothing is confirmed for this long, though something should be, is of no more use: longer than the
/// 16 to 18 s after which heartbeats find a dead one, which has its own words.
const STUCK: Duration = Duration::from_secs(20);
/// Nothing is bound to it: a message with this key goes nowhere, and is confirmed if the exchange may be written to.
const PROOF_KEY: &str = "proof";

/// Why a message is not known to be on a queue.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// There is no usable connection; the message was not sent.
    #[error("{0}")]
    Unavailable(LinkState),
    /// The broker may take no message of this size; it was not sent.
    #[error("the message for `{key}` has {size} bytes, and RabbitMQ takes at most {}", LARGEST_BODY)]
    TooLarge {
        /// The routing key.
        key: String,
        /// The body's size in bytes.
        size: usize,
    },
    /// A queue refused the message, mostly because it is full.
    #[error("a queue behind `{key}` refused the message: it is full")]
    Full {
        /// The routing key.
        key: String,
    },
    /// No queue is bound to the key; the message is gone.
    #[error("no queue is bound to `{key}`: the topology is being changed, or somebody removed the binding")]
    Unroutable {
        /// The routing key.
        key: String,
    },
    /// No confirm came in time; the broker may or may not have the message.
    #[error("RabbitMQ did not confirm a message for `{key}` within {timeout:?}: it may have it or not")]
    TimedOut {
        /// The routing key.
        key: String,
        /// How long it was waited for.
        timeout: Duration,
    },
    /// The connection ended before the confirm; the broker may or may not have the message.
    #[error("the connection to RabbitMQ ended before a message for `{key}` was confirmed: it may have it or not")]
    InDoubt {
        /// The routing key.
        key: String,
    },
}

/// Where and how to publish.
pub struct PublisherSettings {
    /// The broker.
    pub broker: Broker,
    /// The connection's name at the broker.
    pub name: String,
    /// Must exist before anything is published; its exchange is published to.
    pub needs: TopologyPlan,
    /// How long to wait for a confirm, and for room among the messages in flight.
    pub confirm_timeout: Duration,
    /// How its worker is spoken to.
    pub contact: Contact,
}

/// Publishes to a pipeline's exchange. Clones share one connection.
#[derive(Clone)]
pub struct Publisher {
    confirm_timeout: Duration,
    jobs: mpsc::Sender<Job>,
    state: watch::Receiver<LinkState>,
}

/// A message to publish, and who waits for its confirm.
struct Job {
    message: Outgoing,
    answer: oneshot::Sender<Result<(), PublishError>>,
}

impl Publisher {
    /// Starts a publisher in the background. It publishes a `report()` each second, and with the first confirm after a
    /// rest, and ends when `stop` is
    /// cancelled: cancel only once nobody publishes any more.
    pub fn start(
        settings: PublisherSettings,
        report: impl Fn() -> Report + Send + Sync + 'static,
        stop: CancellationToken,
    ) -> (Self, JoinHandle<()>) {
        let needs = Arc::new(settings.needs);
        let link = Link::new(settings.broker, settings.name, Some((*needs).clone())).with_small_frames();
        let (sender, jobs) = mpsc::channel(IN_FLIGHT);
        let publisher = Self { confirm_timeout: settings.confirm_timeout, jobs: sender, state: link.state() };
        let session = PublishSession { needs, jobs, report, contact: settings.contact };
        (publisher, tokio::spawn(link.keep(session, stop)))
    }

    /// What the connection is doing.
    #[must_use]
    pub fn state(&self) -> LinkState {
        self.state.borrow().clone()
    }

    /// Publishes and waits for the confirm.
    ///
    /// # Errors
    /// See [`PublishError`]. After [`PublishError::TimedOut`] and [`PublishError::InDoubt`] the message may
    /// have arrived all the same; publishing it again can double it.
    pub async fn publish(&self, message: &Outgoing) -> Result<(), PublishError> {
        if !self.state.borrow().is_ready() {
            return Err(PublishError::Unavailable(self.state()));
        }
        let key = || message.routing_key.clone();
        if message.is_too_large() {
            return Err(PublishError::TooLarge { key: key(), size: message.body.len() });
        }
        match tokio::time::timeout(self.confirm_timeout, self.confirmed(message.clone())).await {
            Ok(Some(result)) => result,
            Ok(None) => Err(PublishError::InDoubt { key: key() }),
            Err(_) => Err(PublishError::TimedOut { key: key(), timeout: self.confirm_timeout }),
        }
    }

    /// Waits until messages can be published again.
    pub async fn ready(&self) {
        let mut state = self.state.clone();
        // An error means that the link has ended, and the next publish says so.
        let _ = state.wait_for(|state| state.is_ready() || *state == LinkState::Stopped).await;
    }

    /// `None` when the connection took the message with it.
    async fn confirmed(&self, message: Outgoing) -> Option<Result<(), PublishError>> {
        let (answer, answered) = oneshot::channel();
        self.jobs.send(Job { message, answer }).await.ok()?;
        answered.await.ok()
    }
}

struct PublishSession<R> {
    needs: Arc<TopologyPlan>,
    jobs: mpsc::Receiver<Job>,
    report: R,
    contact: Contact,
}

impl<R: Fn() -> Report + Send + Sync> Session for PublishSession<R> {
    async fn serve(&mut self, opened: Opened<'_>) -> Result<(), LinkError> {
        // All channels before the first message: a broker in alarm opens none for who has published.
        let exchange: Arc<str> = self.needs.exchange.as_str().into();
        let mut lane = Lane::open(opened.connection, exchange.clone()).await?;
        let mut reporting = Reporting::open(opened.connection, exchange, self.contact.clone()).await?;
        self.turn_away(&LinkState::Connecting { last_error: None });
        let result = self.publish(&opened, &mut lane, &mut reporting).await;
        self.turn_away(&LinkState::Connecting { last_error: None });
        result
    }
}

impl<R: Fn() -> Report + Send + Sync> PublishSession<R> {
    /// Publishes, reports each second and listens for alarms, until the connection ends. No arm waits for the
    /// socket: in an alarm the broker reads nothing, and that must still be heard. It is ready once a first message is
    /// confirmed: until then neither a missing permission nor an alarm would have shown.
    async fn publish(&mut self, opened: &Opened<'_>, lane: &mut Lane, out: &mut Reporting) -> Result<(), LinkError> {
        let mut events = std::pin::pin!(opened.connection.events_listener());
        let mut interval = tokio::time::interval(REPORT_INTERVAL);
        let mut settled: Option<Instant> = None;
        let needs = self.needs.clone();
        let mut presence = Presence::new(opened.connection, &needs, (self.report)().role);
        let mut proof = Some(prove(lane));
        let mut renewal = Renewal::new(opened.connection);
        loop {
            tokio::select! {
                proven = async { proof.as_mut().expect("is checked").await }, if proof.is_some() => {
                    proof = None;
                    if !matches!(proven, Ok(Err(PublishError::InDoubt { .. })) | Err(_)) {
                        proven_ready(opened.state);
                    }
                }
                lost = presence.lost() => return Err(lost),
                channel = renewal.opened() => lane.renew(channel?),
                routed = lane.settle() => {
                    if !routed {
                        presence.look();
                    }
                    // The first message after a rest: whoever scales learns of it at once.
                    if proof.is_none() && settled.replace(Instant::now()).is_none_or(|last| last.elapsed() >= REPORT_INTERVAL) {
                        out.send(|| Report { wake: true, ..(self.report)() });
                    }
                }
                Some(job) = self.jobs.recv(), if lane.has_room() => lane.send(job),
                () = opened.stop.cancelled() => return Ok(()),
                event = events.next() => note(event, opened.state)?,
                _ = interval.tick() => {
                    if !lane.is_alive() {
                        return Err(LinkError::ChannelClosed);
                    }
                    let since = lane.waits_since(matches!(*opened.state.borrow(), LinkState::Blocked { .. }));
                    if since > STUCK {
                        return Err(LinkError::Unconfirmed { since });
                    }
                    if lane.is_refused() {
                        renewal.begin();
                    }
                    out.send(|| (self.report)());
                }
                turn = out.next() => if let Turn::Wanted = turn? {
                    out.send(|| (self.report)());
                }
            }
        }
    }

    /// Answers those who came while there was no connection: their messages were not sent.
    fn turn_away(&mut self, state: &LinkState) {
        while let Ok(job) = self.jobs.try_recv() {
            let _ = job.answer.send(Err(PublishError::Unavailable(state.clone())));
        }
    }
}

/// Sends a message to nowhere.
fn prove(lane: &mut Lane) -> oneshot::Receiver<Result<(), PublishError>> {
    let (answer, proven) = oneshot::channel();
    let (body, properties) = (Vec::new(), BasicProperties::default());
    let message = Outgoing { routing_key: PROOF_KEY.into(), body, properties, mandatory: false, passed_on: false };
    lane.send(Job { message, answer });
    proven
}

/// It may have been confirmed just before an alarm.
fn proven_ready(state: &watch::Sender<LinkState>) {
    state.send_if_modified(|state| {
        let changes = !matches!(state, LinkState::Blocked { .. });
        if changes {
            *state = LinkState::Ready;
        }
        changes
    });
}

fn note(event: Option<Event>, state: &watch::Sender<LinkState>) -> Result<(), LinkError> {
    match event {
        Some(Event::ConnectionBlocked(reason)) => {
            tracing::warn!(reason, "RabbitMQ takes no messages now: free memory or disk there");
            state.send_replace(LinkState::Blocked { reason });
        }
        Some(Event::ConnectionUnblocked) => {
            tracing::info!("RabbitMQ takes messages again");
            state.send_replace(LinkState::Ready);
        }
        Some(Event::Error(error)) => return Err(error.into()),
        Some(_) => {}
        None => return Err(LinkError::ChannelClosed),
    }
    Ok(())
}

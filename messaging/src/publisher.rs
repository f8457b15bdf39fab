//! Publishing with a promise: `Ok` means that the broker has the message, on a queue, for good.

use crate::{
    broker_url::BrokerUrl,
    link::{Link, LinkError, LinkState, Opened, Session},
    message::{Outgoing, Report},
    topology::TopologyPlan,
};
use futures::StreamExt as _;
use lapin::{
    Channel, Confirmation, Connection, Event,
    options::{BasicPublishOptions, ConfirmSelectOptions},
};
use std::{sync::Arc, time::Duration};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

/// How many messages of one publisher may wait for their confirm. Bounds by how much a full queue overshoots
/// its limit, and memory; more than this did not make a single node any faster.
const IN_FLIGHT: usize = 256;
/// How often a report is published; also the latest moment at which a memory or disk alarm is noticed, since a
/// broker tells only those who publish.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// Why a message is not known to be on a queue.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// There is no usable connection; the message was not sent.
    #[error("{0}")]
    Unavailable(LinkState),
    /// The queue is full; the message was refused.
    #[error("a queue behind `{key}` is full")]
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
        /// What ended it.
        source: lapin::Error,
    },
}

/// Where and how to publish.
pub struct PublisherSettings {
    /// The broker.
    pub url: BrokerUrl,
    /// The connection's name at the broker.
    pub name: String,
    /// Must exist before anything is published; its exchange is published to.
    pub needs: TopologyPlan,
    /// How long to wait for a confirm, and for room among the messages in flight.
    pub confirm_timeout: Duration,
}

/// Publishes to a pipeline's exchange. Clones share one connection.
#[derive(Clone)]
pub struct Publisher {
    exchange: Arc<str>,
    confirm_timeout: Duration,
    lane: watch::Receiver<Option<Lane>>,
    state: watch::Receiver<LinkState>,
}

/// One channel in confirm mode, with its room for messages in flight.
#[derive(Clone)]
struct Lane {
    channel: Channel,
    room: Arc<Semaphore>,
}

impl Publisher {
    /// Starts a publisher in the background. It publishes a `report()` each second, and ends when `stop` is
    /// cancelled: cancel only once nobody publishes any more.
    pub fn start(
        settings: PublisherSettings,
        report: impl Fn() -> Report + Send + Sync + 'static,
        stop: CancellationToken,
    ) -> (Self, tokio::task::JoinHandle<()>) {
        let exchange: Arc<str> = settings.needs.exchange.as_str().into();
        let link = Link::new(settings.url, settings.name, Some(settings.needs));
        let (lane, current_lane) = watch::channel(None);
        let publisher = Self {
            exchange: exchange.clone(),
            confirm_timeout: settings.confirm_timeout,
            lane: current_lane,
            state: link.state(),
        };
        let session = PublishSession { exchange, lane, report };
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
        let lane = self.lane()?;
        let key = || message.routing_key.clone();
        match tokio::time::timeout(self.confirm_timeout, lane.publish(&self.exchange, message)).await {
            Err(_) => Err(PublishError::TimedOut { key: key(), timeout: self.confirm_timeout }),
            Ok(Err(source)) => Err(PublishError::InDoubt { key: key(), source }),
            Ok(Ok(Confirmation::Nack(_))) => Err(PublishError::Full { key: key() }),
            Ok(Ok(Confirmation::Ack(Some(_)))) => Err(PublishError::Unroutable { key: key() }),
            Ok(Ok(Confirmation::Ack(None) | Confirmation::NotRequested)) => Ok(()),
        }
    }

    /// Waits until messages can be published again.
    pub async fn ready(&self) {
        let mut state = self.state.clone();
        // An error means that the link has ended, and the next publish says so.
        let _ = state.wait_for(|state| state.is_ready() || *state == LinkState::Stopped).await;
    }

    fn lane(&self) -> Result<Lane, PublishError> {
        let state = self.state();
        let lane = self.lane.borrow().clone();
        match (state, lane) {
            (LinkState::Ready, Some(lane)) => Ok(lane),
            // The channel has just gone, and the state follows.
            (LinkState::Ready, None) => Err(PublishError::Unavailable(LinkState::Connecting { last_error: None })),
            (state, _) => Err(PublishError::Unavailable(state)),
        }
    }
}

impl Lane {
    async fn publish(&self, exchange: &str, message: &Outgoing) -> lapin::Result<Confirmation> {
        // Held until the confirm is here. It is never closed, so acquiring cannot fail.
        let _room = self.room.acquire().await;
        self.send(exchange, message).await?.await
    }

    async fn send(
        &self,
        exchange: &str,
        message: &Outgoing,
    ) -> lapin::Result<impl Future<Output = lapin::Result<Confirmation>> + use<>> {
        let options = BasicPublishOptions { mandatory: message.mandatory, ..BasicPublishOptions::default() };
        let key = message.routing_key.as_str().into();
        self.channel.basic_publish(exchange.into(), key, options, &message.body, message.properties.clone()).await
    }
}

struct PublishSession<R> {
    exchange: Arc<str>,
    lane: watch::Sender<Option<Lane>>,
    report: R,
}

impl<R: Fn() -> Report + Send + Sync> Session for PublishSession<R> {
    async fn serve(&mut self, opened: Opened<'_>) -> Result<(), LinkError> {
        let lane = open_lane(opened.connection).await?;
        self.lane.send_replace(Some(lane));
        opened.ready();
        let result = self.watch(&opened).await;
        self.lane.send_replace(None);
        result
    }
}

impl<R: Fn() -> Report + Send + Sync> PublishSession<R> {
    /// Reports each second and listens for alarms, until the connection ends.
    async fn watch(&self, opened: &Opened<'_>) -> Result<(), LinkError> {
        let mut events = std::pin::pin!(opened.connection.events_listener());
        let mut interval = tokio::time::interval(REPORT_INTERVAL);
        // Apart from the confirms: reports need none, and must not take their room.
        let channel = opened.connection.create_channel().await?;
        let reports = Lane { channel, room: Arc::new(Semaphore::new(1)) };
        loop {
            tokio::select! {
                () = opened.stop.cancelled() => return Ok(()),
                event = events.next() => note(event, opened.state)?,
                _ = interval.tick() => self.report(&reports).await?,
            }
            self.lane_is_alive()?;
        }
    }

    async fn report(&self, reports: &Lane) -> Result<(), LinkError> {
        // Without confirm mode there is nothing to wait for.
        let _not_requested = reports.send(&self.exchange, &(self.report)().to_message()).await?;
        Ok(())
    }

    /// A missing exchange closes the channel and leaves the connection alone, so that no event tells of it.
    fn lane_is_alive(&self) -> Result<(), LinkError> {
        let alive = self.lane.borrow().as_ref().is_some_and(|lane| lane.channel.status().connected());
        if alive { Ok(()) } else { Err(LinkError::ChannelClosed) }
    }
}

async fn open_lane(connection: &Connection) -> Result<Lane, LinkError> {
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    Ok(Lane { channel, room: Arc::new(Semaphore::new(IN_FLIGHT)) })
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

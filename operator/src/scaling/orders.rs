//! Orders to single workers, on the connection of one broker's watch.
//!
//! That connection publishes nothing else, and mostly nothing at all: a broker in alarm reads nothing more from those who
//! have ever published. The watch is then begun anew, on a connection that has not. In an alarm the workers do not report
//! either, and of whom nothing is known none is asked to go, so that nothing is published then.

use lapin::{Channel, Connection};
use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};
use warren_messaging::{message::Order, topology::orders};

/// The way to the workers of one broker.
#[derive(Default)]
pub struct Orders(Mutex<State>);

#[derive(Default)]
struct State {
    channel: Option<Channel>,
    refused: bool,
}

impl Orders {
    /// There is a connection, with this channel.
    pub fn open(&self, channel: Channel) {
        *self.state() = State { channel: Some(channel), refused: false };
    }

    /// There is none any more.
    pub fn close(&self) {
        *self.state() = State::default();
    }

    /// Notes when the broker has closed the channel and nothing else: it refuses what was published there.
    pub fn check(&self, connection: &Connection) {
        let mut state = self.state();
        let closed = state.channel.as_ref().is_some_and(|channel| !channel.status().connected());
        if closed && connection.status().connected() && !state.refused {
            state.refused = true;
            tracing::warn!(
                "RabbitMQ takes no orders to processors, so that an idle one may get a request just before it is \
                 stopped, and finish it while it stops: allow this user to write to `amq.default`"
            );
        }
    }

    /// Whether workers can never be asked anything at this broker.
    pub fn are_refused(&self) -> bool {
        self.state().refused
    }

    /// Asks the worker at `address` to take nothing for a while. Whether it got that, only its reports tell.
    pub async fn give(&self, address: &str, take_nothing_for: Duration) {
        let channel = self.state().channel.clone();
        if let Some(channel) = channel
            && let Err(error) = orders::give(&channel, address, Order { take_nothing_for }).await
        {
            tracing::debug!(%error, "an order was not given");
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

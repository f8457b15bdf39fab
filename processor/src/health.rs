//! Whether the worker is alive and ready, and the HTTP server that says so.

mod serve;

pub(crate) use serve::{bind, serve};

use crate::tally::Tally;
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use warren_messaging::{link::LinkState, publisher::Publisher};

/// A worker that has a connection and all queues, and could not consume for this long, will not do so by itself.
const STUCK_AFTER: Duration = Duration::from_secs(60);

/// How far the worker is with consuming, and since when.
pub(crate) struct Intake(Mutex<(Stage, Instant)>);

/// How far the worker is with consuming.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// There is no connection, or queues are missing: that is for the broker and the operator to mend.
    Away,
    /// Everything is there; the consumer is being opened.
    Opening,
    /// It consumes.
    Open,
}

impl Intake {
    pub(crate) fn new() -> Self {
        Self(Mutex::new((Stage::Away, Instant::now())))
    }

    pub(crate) fn set(&self, stage: Stage) {
        let mut intake = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if intake.0 != stage {
            *intake = (stage, Instant::now());
        }
    }

    /// From now on the consumer is being opened; away again once what this returns is dropped, as a session also is that
    /// did not hear of the loss of its connection.
    pub(crate) fn opening(self: &Arc<Self>) -> Consuming {
        self.set(Stage::Opening);
        Consuming(Arc::clone(self))
    }

    fn stage(&self) -> (Stage, Duration) {
        let (stage, since) = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (stage, since.elapsed())
    }
}

/// A connection's time as far as consuming goes.
#[must_use = "it ends when dropped"]
pub(crate) struct Consuming(Arc<Intake>);

impl Drop for Consuming {
    fn drop(&mut self) {
        self.0.set(Stage::Away);
    }
}

/// What the HTTP endpoints look at.
#[derive(Clone)]
pub(crate) struct Health {
    pub(crate) intake: Arc<Intake>,
    pub(crate) link: watch::Receiver<LinkState>,
    pub(crate) publisher: Publisher,
    pub(crate) tally: Arc<Tally>,
    pub(crate) stop: CancellationToken,
}

impl Health {
    fn alive(&self) -> Result<(), String> {
        let (stage, lasted) = self.intake.stage();
        alive(stage, lasted, self.stop.is_cancelled())
    }

    fn ready(&self) -> Result<(), String> {
        ready(&self.link.borrow(), &self.publisher.state(), self.stop.is_cancelled())
    }
}

/// Not to be alive means to be restarted, so it must be what a restart can mend: neither a broker that is away
/// nor a drain is.
fn alive(stage: Stage, lasted: Duration, stopping: bool) -> Result<(), String> {
    if stage == Stage::Opening && lasted > STUCK_AFTER && !stopping {
        let seconds = lasted.as_secs();
        return Err(format!("connected to RabbitMQ for {seconds} s and still not consuming: restart this worker"));
    }
    Ok(())
}

fn ready(link: &LinkState, publisher: &LinkState, stopping: bool) -> Result<(), String> {
    if stopping {
        return Err("stopping: finishing what runs".into());
    }
    let states = [("taking requests", link), ("publishing results", publisher)];
    match states.into_iter().find(|(_, state)| !state.is_ready()) {
        Some((purpose, state)) => Err(format!("{purpose}: {state}")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(61);

    #[test]
    fn a_worker_that_holds_a_link_and_cannot_consume_is_not_alive() {
        assert!(alive(Stage::Opening, LONG, false).is_err());
        assert_eq!(alive(Stage::Opening, Duration::from_secs(59), false), Ok(()));
        assert_eq!(alive(Stage::Open, LONG, false), Ok(()));
    }

    #[test]
    fn a_session_that_is_dropped_while_it_opens_its_consumer_leaves_the_worker_away() {
        let intake = Arc::new(Intake::new());
        let session = intake.opening();
        assert_eq!(intake.stage().0, Stage::Opening);
        drop(session);
        assert_eq!(intake.stage().0, Stage::Away);
    }

    #[test]
    fn neither_an_absent_broker_nor_a_drain_is_mended_by_a_restart() {
        assert_eq!(alive(Stage::Away, LONG, false), Ok(()));
        assert_eq!(alive(Stage::Opening, LONG, true), Ok(()));
    }

    #[test]
    fn a_worker_is_ready_only_when_it_can_take_requests_and_publish_results() {
        assert_eq!(ready(&LinkState::Ready, &LinkState::Ready, false), Ok(()));
        let blocked = LinkState::Blocked { reason: "low on memory".into() };
        let why = ready(&LinkState::Ready, &blocked, false).expect_err("cannot publish");
        assert!(why.contains("publishing results") && why.contains("low on memory"), "{why}");
        assert!(ready(&LinkState::Connecting { last_error: None }, &LinkState::Ready, false).is_err());
        assert!(ready(&LinkState::Ready, &LinkState::Ready, true).is_err());
    }
}

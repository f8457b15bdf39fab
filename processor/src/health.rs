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

/// A worker whose link stands but which has taken no requests for this long will not do so by itself.
const STUCK_AFTER: Duration = Duration::from_secs(60);

/// Whether the worker consumes, and since when.
pub(crate) struct Intake(Mutex<(bool, Instant)>);

impl Intake {
    pub(crate) fn new() -> Self {
        Self(Mutex::new((false, Instant::now())))
    }

    /// It consumes from now on.
    pub(crate) fn open(&self) {
        self.set(true);
    }

    /// It does not consume from now on.
    pub(crate) fn closed(&self) {
        self.set(false);
    }

    fn set(&self, consuming: bool) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (consuming, Instant::now());
    }

    /// How long it has not consumed; `None` while it does.
    fn closed_for(&self) -> Option<Duration> {
        let (consuming, since) = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (!consuming).then(|| since.elapsed())
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
        alive(&self.link.borrow(), self.intake.closed_for(), self.stop.is_cancelled())
    }

    fn ready(&self) -> Result<(), String> {
        ready(&self.link.borrow(), &self.publisher.state(), self.intake.closed_for(), self.stop.is_cancelled())
    }
}

/// Not to be alive means to be restarted, so it must be what a restart can mend: neither a broker that is away
/// nor a drain is.
fn alive(link: &LinkState, closed_for: Option<Duration>, stopping: bool) -> Result<(), String> {
    match closed_for {
        Some(closed) if link.is_ready() && !stopping && closed > STUCK_AFTER => {
            Err(format!("connected to RabbitMQ, but consuming nothing for {} s: restart this worker", closed.as_secs()))
        }
        _ => Ok(()),
    }
}

fn ready(
    link: &LinkState,
    publisher: &LinkState,
    closed_for: Option<Duration>,
    stopping: bool,
) -> Result<(), String> {
    if stopping {
        return Err("stopping: finishing what runs".into());
    }
    for (purpose, state) in [("taking requests", link), ("publishing results", publisher)] {
        if !state.is_ready() {
            return Err(format!("{purpose}: {state}"));
        }
    }
    closed_for.map_or(Ok(()), |_| Err("taking requests: opening the consumer".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const AWAY: LinkState = LinkState::Connecting { last_error: None };
    const LONG: Option<Duration> = Some(Duration::from_secs(61));

    #[test]
    fn a_worker_that_holds_a_link_and_takes_nothing_is_not_alive() {
        assert!(alive(&LinkState::Ready, LONG, false).is_err());
        assert_eq!(alive(&LinkState::Ready, Some(Duration::from_secs(59)), false), Ok(()));
        assert_eq!(alive(&LinkState::Ready, None, false), Ok(()));
    }

    #[test]
    fn neither_an_absent_broker_nor_a_drain_is_mended_by_a_restart() {
        assert_eq!(alive(&AWAY, LONG, false), Ok(()));
        assert_eq!(alive(&LinkState::Ready, LONG, true), Ok(()));
    }

    #[test]
    fn a_worker_is_ready_only_when_it_can_take_requests_and_publish_results() {
        assert_eq!(ready(&LinkState::Ready, &LinkState::Ready, None, false), Ok(()));
        let blocked = LinkState::Blocked { reason: "low on memory".into() };
        let why = ready(&LinkState::Ready, &blocked, None, false).expect_err("cannot publish");
        assert!(why.contains("publishing results") && why.contains("low on memory"), "{why}");
        assert!(ready(&AWAY, &LinkState::Ready, None, false).is_err());
        assert!(ready(&LinkState::Ready, &LinkState::Ready, None, true).is_err());
    }
}

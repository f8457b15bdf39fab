//! Publishes until the broker has the message.

use crate::{lease::Lease, tally::Tally};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use warren_messaging::{
    error_chain::Chain,
    message::Outgoing,
    publisher::{PublishError, Publisher},
    topology::REQUEST_KEY,
};

/// The first pause before a publish is repeated; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Publishes for a worker.
pub(crate) struct Publishing {
    pub(crate) publisher: Publisher,
    /// Cancelled when the process wants to stop.
    pub(crate) stop: CancellationToken,
}

/// What a message is worth once the delivery that led to it is lost, and the broker delivers the request again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Worth {
    /// A result stands, whoever comes second.
    Always,
    /// A retry beside the redelivered request would make two of one.
    WhileLeased,
}

/// Why a message was not published after all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unpublished {
    /// The delivery was lost, and the broker delivers the request again.
    Lost,
    /// It was for the request queue, and that is full. Whoever holds a request of a queue and waits for room in the same
    /// one may wait for ever: once all do, nobody makes room.
    NoRoom,
}

impl Publishing {
    /// Publishes until confirmed, or until that is pointless.
    pub(crate) async fn confirmed(
        &self,
        message: &Outgoing,
        worth: Worth,
        lease: &Lease,
        tally: &Tally,
    ) -> Result<(), Unpublished> {
        let mut pause = FIRST_PAUSE;
        loop {
            if lease.is_lost() && worth == Worth::WhileLeased {
                return Err(Unpublished::Lost);
            }
            let Err(error) = self.publisher.publish(message).await else { return Ok(()) };
            if matches!(error, PublishError::Full { .. }) && message.routing_key == REQUEST_KEY {
                return Err(Unpublished::NoRoom);
            }
            tally.publish_repeated();
            report(&error, pause);
            if lease.is_lost() && self.stop.is_cancelled() {
                return Err(Unpublished::Lost);
            }
            self.wait(&error, pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Publishes once; a failure changes nothing.
    pub(crate) async fn told(&self, message: &Outgoing) {
        if let Err(error) = self.publisher.publish(message).await {
            tracing::debug!("cannot tell of progress: {}", Chain(&error));
        }
    }

    /// Until it makes sense to publish again. While the broker is away this is until it is back, or until the
    /// process wants to stop: then the lease decides.
    async fn wait(&self, error: &PublishError, pause: Duration) {
        let ready = async {
            // Also when it is ready at once: a full queue needs time, and a new channel a moment.
            tokio::time::sleep(pause).await;
            if link_will_tell(error) {
                self.publisher.ready().await;
            }
        };
        if self.stop.is_cancelled() {
            let _ = tokio::time::timeout(LONGEST_PAUSE, ready).await;
        } else {
            let _ = self.stop.run_until_cancelled(ready).await;
        }
    }
}

/// Whether the publisher's link mends this, and reports it itself. What is left, such as a full queue or a missing binding,
/// somebody has to act on.
fn link_will_tell(error: &PublishError) -> bool {
    matches!(error, PublishError::Unavailable(_) | PublishError::InDoubt { .. } | PublishError::TimedOut { .. })
}

fn report(error: &PublishError, pause: Duration) {
    let (error_text, pause_ms) = (Chain(error), u64::try_from(pause.as_millis()).unwrap_or(u64::MAX));
    if link_will_tell(error) {
        tracing::debug!(pause_ms, "{error_text}; publishing again");
    } else {
        tracing::warn!(pause_ms, "{error_text}; the request stays in work until its outcome is on a queue");
    }
}

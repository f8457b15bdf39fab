//! Whether what is published to is still there. Nobody tells a publisher that a queue was deleted: an unroutable
//! message shows it, and without one only a look.

use crate::{
    link::LinkError,
    message::Role,
    topology::{REQUEST_KEY, TopologyPlan, check},
};
use futures::{FutureExt as _, future::BoxFuture};
use lapin::Connection;
use std::time::Duration;
use tokio::time::{Interval, interval};

/// How often it is looked when nothing seems wrong.
const LOOK: Duration = Duration::from_secs(15);
/// The same for who publishes requests. Beside the queue there may be a journal, of which this side is not told: that gets
/// them all, so none comes back as unroutable, and each that is confirmed without a request queue is a promise that nobody
/// works on.
const LOOK_FOR_REQUESTS: Duration = Duration::from_secs(1);

/// A look at a time, beside the publishing: in an alarm it takes as long as that lasts.
pub(super) struct Presence<'a> {
    connection: &'a Connection,
    needs: &'a TopologyPlan,
    clock: Interval,
    looking: Option<BoxFuture<'a, lapin::Result<Vec<String>>>>,
}

impl<'a> Presence<'a> {
    /// For a publisher of this role.
    pub(super) fn new(connection: &'a Connection, needs: &'a TopologyPlan, role: Role) -> Self {
        let clock = interval(if role == Role::Web { LOOK_FOR_REQUESTS } else { LOOK });
        Self { connection, needs, clock, looking: None }
    }

    /// Looks at everything that is needed.
    pub(super) fn look(&mut self) {
        if self.looking.is_none() {
            self.looking = Some(check::missing(self.connection, self.needs).boxed());
        }
    }

    /// Ends when something is missing.
    pub(super) async fn lost(&mut self) -> LinkError {
        loop {
            let Some(looking) = &mut self.looking else {
                self.clock.tick().await;
                self.looking = Some(requests(self.connection, self.needs).boxed());
                continue;
            };
            let found = looking.await;
            self.looking = None;
            match found {
                Ok(missing) if missing.is_empty() => {}
                Ok(missing) => return LinkError::Gone { what: missing.join(", ") },
                Err(error) => return error.into(),
            }
        }
    }
}

/// Which of the queues for requests is missing. Of the others their consumers learn.
async fn requests(connection: &Connection, needs: &TopologyPlan) -> lapin::Result<Vec<String>> {
    let mut missing = Vec::new();
    for queue in needs.queues.iter().filter(|queue| queue.keys.iter().any(|key| key == REQUEST_KEY)) {
        if check::counts(connection, &queue.name).await?.is_none() {
            missing.push(format!("queue {}", queue.name));
        }
    }
    Ok(missing)
}

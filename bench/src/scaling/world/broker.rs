//! The request queue, its retry queues, and who has room for a request.

use super::events::PodId;
use crate::trace::RETRY_DELAYS;
use std::collections::VecDeque;
use warren_scaling::Tier;

/// The broker as far as it matters here.
#[derive(Default)]
pub struct Broker {
    /// Requests that wait.
    pub queue: VecDeque<usize>,
    /// Consumers with room for one request each, whose turn it is first.
    room: VecDeque<PodId>,
    /// How many wait out each retry delay.
    pub retrying: [u64; RETRY_DELAYS.len()],
}

impl Broker {
    /// The next delivery, if there are both a request and room for it.
    pub fn deliver(&mut self) -> Option<(PodId, usize)> {
        let pod = *self.room.front()?;
        let message = self.queue.pop_front()?;
        self.room.pop_front();
        Some((pod, message))
    }

    /// `pod` takes one request more.
    pub fn make_room(&mut self, pod: PodId) {
        self.room.push_back(pod);
    }

    /// `pod` takes nothing more.
    pub fn cancel(&mut self, pod: PodId) {
        self.room.retain(|other| *other != pod);
    }

    /// As an observer reads the retry queues.
    pub fn tiers(&self) -> Vec<Tier> {
        RETRY_DELAYS.iter().zip(self.retrying).map(|(&delay, waiting)| Tier { delay, waiting }).collect()
    }
}

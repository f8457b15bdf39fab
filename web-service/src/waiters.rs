//! Clients that wait for a request to end.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::Notify;
use warren_messaging::request_id::RequestId;

/// Who waits for which request. Cheap to clone; clones share the list.
#[derive(Clone, Default)]
pub struct Waiters {
    // A std mutex: it is held for a map operation, never across an await.
    waiting: Arc<Mutex<HashMap<RequestId, Entry>>>,
}

/// A request that is waited for.
#[derive(Default)]
struct Entry {
    notify: Arc<Notify>,
    places: usize,
}

/// One client's place in the list, given up when dropped.
pub struct Place {
    waiters: Waiters,
    id: RequestId,
    notify: Arc<Notify>,
}

impl Waiters {
    /// Takes a place. Do this *before* looking at the record: an end between look and wait would be missed.
    #[must_use]
    pub fn join(&self, id: &RequestId) -> Place {
        let notify = self.with(|waiting| {
            let entry = waiting.entry(id.clone()).or_default();
            entry.places += 1;
            entry.notify.clone()
        });
        Place { waiters: self.clone(), id: id.clone(), notify }
    }

    /// Wakes everyone who waits for one of `ids`.
    pub fn wake<'a>(&self, ids: impl IntoIterator<Item = &'a RequestId>) {
        self.with(|waiting| {
            for entry in ids.into_iter().filter_map(|id| waiting.get(id)) {
                entry.notify.notify_waiters();
            }
        });
    }

    /// Wakes everyone, to look for themselves.
    pub fn wake_all(&self) {
        self.with(|waiting| waiting.values().for_each(|entry| entry.notify.notify_waiters()));
    }

    /// How many requests are waited for.
    #[must_use]
    pub fn len(&self) -> usize {
        self.with(|waiting| waiting.len())
    }

    /// Whether nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn with<T>(&self, act: impl FnOnce(&mut HashMap<RequestId, Entry>) -> T) -> T {
        // Nothing in here leaves the map half-changed, so a panic elsewhere does not spoil it.
        act(&mut self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Place {
    /// A future that ends at the next wake-up after this call.
    pub fn woken(&self) -> tokio::sync::futures::Notified<'_> {
        self.notify.notified()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.waiters.with(|waiting| {
            let Some(entry) = waiting.get_mut(&self.id) else { return };
            entry.places -= 1;
            if entry.places == 0 {
                waiting.remove(&self.id);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> RequestId {
        RequestId::from_text(text).expect("is an id")
    }

    #[tokio::test]
    async fn everyone_who_waits_for_the_request_wakes_and_nobody_else() {
        let waiters = Waiters::default();
        let (one, two, other) = (waiters.join(&id("a")), waiters.join(&id("a")), waiters.join(&id("b")));
        let (first, second, third) = (one.woken(), two.woken(), other.woken());
        tokio::pin!(third);
        waiters.wake([&id("a")]);
        first.await;
        second.await;
        assert!(futures::poll!(third.as_mut()).is_pending());
    }

    #[test]
    fn the_last_one_to_leave_clears_the_list() {
        let waiters = Waiters::default();
        let (one, two) = (waiters.join(&id("a")), waiters.join(&id("a")));
        drop(one);
        assert_eq!(waiters.len(), 1);
        drop(two);
        assert!(waiters.is_empty());
    }
}

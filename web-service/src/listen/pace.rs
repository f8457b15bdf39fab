//! Whether a client keeps pace: one clock per connection.

use super::settings::{ListenSettings, passage};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// The longest between two looks at the clock. A deadline may come into being meanwhile, so this is also how late a
/// connection may be closed.
const LOOK: Duration = Duration::from_secs(2);

/// What a client owes, or is owed.
pub(super) struct Pace {
    settings: ListenSettings,
    // A std mutex: it is held for a few assignments, never across an await.
    now: Mutex<Now>,
}

struct Now {
    /// Nothing was asked or answered since.
    idle_since: Instant,
    /// The first bytes of a request came then, and not all of its head.
    head_since: Option<Instant>,
    /// HTTP/2 sends bytes for other reasons too.
    has_heads: bool,
    /// Requests that are being worked on.
    requests: usize,
    /// When each answer must have been read.
    answers: Vec<(u64, Instant)>,
    next_answer: u64,
}

/// A request that is being worked on.
pub(super) struct Begun(Arc<Pace>);

/// An answer that is not yet on its way to the client.
pub(super) struct Owed(Arc<Pace>, u64);

impl Pace {
    pub(super) fn new(settings: ListenSettings) -> Self {
        let now = Instant::now();
        let now = Now {
            idle_since: now,
            // A new connection is one of which a head is due.
            head_since: Some(now),
            has_heads: true,
            requests: 0,
            answers: Vec::new(),
            next_answer: 0,
        };
        Self { settings, now: Mutex::new(now) }
    }

    /// Bytes came.
    pub(super) fn heard(&self, bytes: &[u8]) {
        let mut now = self.now();
        if bytes.starts_with(b"PRI ") {
            (now.has_heads, now.head_since) = (false, None);
        }
        if now.has_heads && now.is_idle() && now.head_since.is_none() {
            now.head_since = Some(Instant::now());
        }
    }

    /// A request is there, with its whole head.
    pub(super) fn begin(self: &Arc<Self>) -> Begun {
        let mut now = self.now();
        now.requests += 1;
        now.head_since = None;
        Begun(self.clone())
    }

    /// There is an answer of so many bytes.
    pub(super) fn owe(self: &Arc<Self>, bytes: u64) -> Owed {
        let mut now = self.now();
        let (number, deadline) = (now.next_answer, Instant::now() + passage(self.settings.answer_timeout, bytes));
        now.next_answer += 1;
        now.answers.push((number, deadline));
        Owed(self.clone(), number)
    }

    /// Until the client is too slow; says with what.
    pub(super) async fn overdue(&self) -> &'static str {
        loop {
            let due = self.now().due(&self.settings);
            let now = Instant::now();
            match due {
                Some((at, why)) if at <= now => return why,
                Some((at, _)) => tokio::time::sleep(LOOK.min(at - now)).await,
                None => tokio::time::sleep(LOOK).await,
            }
        }
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        // Nothing in here leaves it half-changed.
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Now {
    fn is_idle(&self) -> bool {
        self.requests == 0 && self.answers.is_empty()
    }

    /// What is due next, and why the connection ends if it does not come.
    fn due(&self, settings: &ListenSettings) -> Option<(Instant, &'static str)> {
        if let Some(at) = self.answers.iter().map(|(_, at)| *at).min() {
            return Some((at, "an answer was not read in time"));
        }
        match self.head_since {
            _ if !self.is_idle() => None,
            Some(since) => Some((since + settings.header_timeout, "a request's head did not come in time")),
            None => Some((self.idle_since + settings.idle_timeout, "it was idle")),
        }
    }

    fn rest(&mut self) {
        if self.is_idle() {
            self.idle_since = Instant::now();
        }
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        let mut now = self.0.now();
        now.requests -= 1;
        now.rest();
    }
}

impl Drop for Owed {
    fn drop(&mut self) {
        let mut now = self.0.now();
        now.answers.retain(|(number, _)| *number != self.1);
        now.rest();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Options {
        #[command(flatten)]
        settings: ListenSettings,
    }

    fn pace() -> Arc<Pace> {
        let settings = ["x", "--header-timeout=1s", "--answer-timeout=2s", "--idle-timeout=3s"];
        Arc::new(Pace::new(Options::parse_from(settings).settings))
    }

    /// After how many seconds it is due.
    fn due(pace: &Pace) -> Option<(u64, &'static str)> {
        let due = pace.now().due(&pace.settings);
        due.map(|(at, why)| (at.duration_since(Instant::now()).as_secs_f64().round() as u64, why))
    }

    #[test]
    fn a_new_connection_owes_the_head_of_a_request() {
        assert_eq!(due(&pace()), Some((1, "a request's head did not come in time")));
    }

    #[test]
    fn a_request_in_work_is_not_hurried_and_its_answer_is() {
        let pace = pace();
        let request = pace.begin();
        assert_eq!(due(&pace), None);
        let answer = pace.owe(512 * 1024);
        drop(request);
        assert_eq!(due(&pace), Some((3, "an answer was not read in time")));
        drop(answer);
        assert_eq!(due(&pace), Some((3, "it was idle")));
    }

    #[test]
    fn a_new_answer_does_not_give_an_old_one_more_time() {
        let pace = pace();
        let _old = pace.owe(0);
        let _new = pace.owe(3 << 20);
        assert_eq!(due(&pace).map(|(seconds, _)| seconds), Some(2));
    }

    #[test]
    fn between_requests_the_first_byte_begins_a_head_but_not_on_http_2() {
        let pace = pace();
        drop(pace.begin());
        pace.heard(b"GET");
        assert_eq!(due(&pace).map(|(seconds, _)| seconds), Some(1));
        pace.heard(b"PRI * HTTP/2.0");
        pace.heard(b"ping");
        assert_eq!(due(&pace), Some((3, "it was idle")));
    }
}

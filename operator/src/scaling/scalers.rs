//! All pipelines of one broker.

use super::{PERIOD, Scaled, Title, View, metrics::Metrics, orders::Orders, reports::News, scaler::Scaler};
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::TaskTracker;
use warren_messaging::{message::Report, topology::depths::Depths};

/// Who was not decided on for this long is decided on without readings: the broker is away.
const UNSEEN: Duration = Duration::from_secs(2);

/// An exchange whose workers are not to be listened to any more.
pub struct Leaving {
    /// Its name.
    pub exchange: String,
    /// Told when it is done.
    pub unbound: oneshot::Sender<()>,
}

/// All pipelines of one broker.
pub struct Scalers {
    /// The way to their workers.
    pub orders: Arc<Orders>,
    metrics: Arc<Metrics>,
    tasks: TaskTracker,
    epoch: Instant,
    leaving: mpsc::UnboundedSender<Leaving>,
    known: Mutex<HashMap<String, Scaler>>,
}

impl Scalers {
    /// None yet; and the exchanges of those that leave, for who listens to their workers.
    pub fn new(metrics: Arc<Metrics>, tasks: TaskTracker) -> (Self, mpsc::UnboundedReceiver<Leaving>) {
        let (leaving, left) = mpsc::unbounded_channel();
        let (orders, known) = (Arc::default(), Mutex::default());
        (Self { orders, metrics, tasks, epoch: Instant::now(), leaving, known }, left)
    }

    /// Takes a pipeline in, or what has changed of it.
    pub fn put(&self, scaled: Scaled) {
        let mut known = self.known();
        match known.get_mut(&scaled.key) {
            Some(scaler) => scaler.scaled = scaled,
            None => drop(known.insert(scaled.key.clone(), Scaler::new(scaled, self.orders.clone()))),
        }
    }

    /// Lets one go; what is told once nobody listens to its workers any more.
    pub fn remove(&self, key: &str) -> Option<oneshot::Receiver<()>> {
        let scaler = self.known().remove(key)?;
        Some(self.farewell(&scaler))
    }

    /// Lets go whatever else has this name: a pipeline that was deleted, and made anew.
    pub fn displace(&self, title: &Title, unless: Option<&str>) {
        self.retain(|scaler| scaler.scaled.title != *title || Some(scaler.scaled.key.as_str()) == unless);
    }

    fn farewell(&self, scaler: &Scaler) -> oneshot::Receiver<()> {
        self.metrics.forget(&scaler.scaled.title);
        let (unbound, told) = oneshot::channel();
        // If nobody listens, then nothing is bound.
        let _ = self.leaving.send(Leaving { exchange: scaler.scaled.topology.exchange.clone(), unbound });
        told
    }

    /// Lets all go but those with these keys.
    pub fn keep(&self, keys: &HashSet<String>) {
        self.retain(|scaler| keys.contains(&scaler.scaled.key));
    }

    fn retain(&self, stays: impl Fn(&Scaler) -> bool) {
        self.known().retain(|_, scaler| {
            let stays = stays(scaler);
            if !stays {
                drop(self.farewell(scaler));
            }
            stays
        });
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.known().is_empty()
    }

    /// What is known of one.
    pub fn view(&self, key: &str) -> Option<View> {
        self.known().get(key)?.view(Instant::now())
    }

    /// The queues to ask for now.
    pub fn queues(&self) -> Vec<String> {
        let now = Instant::now();
        self.known().values().flat_map(|scaler| scaler.queues(now)).collect()
    }

    /// The exchanges of pipelines that are growing, and the queues of all of them to ask for.
    pub fn moving(&self) -> (BTreeSet<String>, Vec<String>) {
        let (now, known) = (Instant::now(), self.known());
        let moving: Vec<_> = known.values().filter(|scaler| scaler.is_moving(now)).collect();
        let exchanges = moving.iter().map(|scaler| scaler.scaled.topology.exchange.clone()).collect();
        (exchanges, moving.iter().flat_map(|scaler| scaler.queues(now)).collect())
    }

    /// All exchanges, and whether anything was heard from their workers lately.
    pub fn exchanges(&self) -> Vec<(String, bool)> {
        let now = Instant::now();
        self.known().values().map(|scaler| (scaler.scaled.topology.exchange.clone(), scaler.is_heard(now))).collect()
    }

    /// Takes the depths of the queues that were `asked` for in, and decides on all pipelines; `since` is when the look
    /// was due.
    pub fn see(&self, asked: Vec<String>, depths: &Depths, since: Instant) {
        let (now, asked) = (Instant::now(), asked.into_iter().collect::<BTreeSet<_>>());
        for scaler in self.known().values_mut() {
            scaler.see(&asked, depths, now);
            scaler.decide(now, now.duration_since(self.epoch), &self.metrics, &self.tasks);
        }
        self.metrics.looked(since.elapsed());
    }

    /// Takes the depths of some pipelines' queues in, and decides on them.
    pub fn see_some(&self, exchanges: &BTreeSet<String>, asked: Vec<String>, depths: &Depths) {
        let (now, asked) = (Instant::now(), asked.into_iter().collect::<BTreeSet<_>>());
        let mut known = self.known();
        for scaler in known.values_mut().filter(|scaler| exchanges.contains(&scaler.scaled.topology.exchange)) {
            scaler.see(&asked, depths, now);
            scaler.decide(now, now.duration_since(self.epoch), &self.metrics, &self.tasks);
        }
    }

    /// Takes a report in that came from `address`; the queues to look at when it cannot wait.
    pub fn hear(&self, exchange: &str, report: Report, address: Option<String>) -> Option<Vec<String>> {
        let (now, mut known) = (Instant::now(), self.known());
        let scaler = known.values_mut().find(|scaler| scaler.scaled.topology.exchange == exchange)?;
        match scaler.hear(report, address, now) {
            News::Urgent => return Some(scaler.queues(now)),
            News::StopsBusy => self.metrics.stopped_busy(),
            News::Nothing => {}
        }
        None
    }

    /// Decides on those that nobody sees, for as long as it is polled: the fewest that the user wants run even then, and
    /// it is said that the backlog is not known.
    pub async fn decide_unseen(&self) {
        let mut clock = tokio::time::interval(PERIOD);
        loop {
            clock.tick().await;
            let now = Instant::now();
            for scaler in self.known().values_mut() {
                if scaler.decided.is_none_or(|at| now.duration_since(at) >= UNSEEN) {
                    scaler.decide(now, now.duration_since(self.epoch), &self.metrics, &self.tasks);
                }
            }
        }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<String, Scaler>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

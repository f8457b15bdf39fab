//! Before idle workers go, they are asked to take nothing more, and only those go that say so: what was heard of them
//! before is up to a second old, and a request may have come to them since.

use super::{fleet::Change, orders::Orders};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{sync::Notify, time::timeout};
use warren_scaling::Worker;

/// How long those that were asked take nothing. More than [`ANSWER`] and the time to write the number together, with some
/// seconds to spare until SIGTERM arrives; less, and they are missed for too long when nothing comes of it.
const HOLD: Duration = Duration::from_secs(10);
/// How long their answers are waited for; mostly they come within milliseconds.
const ANSWER: Duration = Duration::from_secs(1);

/// The idle workers of one pipeline that were asked to take nothing more.
pub struct Cordon {
    orders: Arc<Orders>,
    answers: Mutex<Answers>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Answers {
    awaited: BTreeSet<String>,
    /// Said that they take nothing, and have not said otherwise since.
    holding: BTreeSet<String>,
}

impl Cordon {
    /// Nobody is asked yet.
    pub fn new(orders: Arc<Orders>) -> Self {
        Self { orders, answers: Mutex::default(), changed: Notify::new() }
    }

    /// What of a shrinking `change` stops nobody who is busy: with fewer who go, maybe none. `addresses` are those of idle
    /// workers, by name; who has none cannot be asked, and goes by what it said last.
    pub async fn narrow(&self, change: Change, addresses: &BTreeMap<String, String>) -> Change {
        let nobody = BTreeMap::new();
        let (asked, others) = candidates(&change, if self.orders.are_refused() { &nobody } else { addresses });
        let held = self.ask(&asked).await;
        let may_go = fill(held, others, change.leaving());
        narrowed(change, may_go)
    }

    /// Takes a worker's report in.
    pub fn hear(&self, worker: &Worker) {
        let mut answers = self.answers();
        if answers.hear(worker) && answers.awaited.is_empty() {
            self.changed.notify_one();
        }
    }

    /// Work has come: nobody goes for now.
    pub fn give_up(&self) {
        let mut answers = self.answers();
        if !std::mem::take(&mut answers.awaited).is_empty() {
            answers.holding.clear();
            self.changed.notify_one();
        }
    }

    /// Whether a worker takes nothing only because it was asked to, and stays nonetheless, as the number was not written.
    pub fn keeps(&self, worker: &str) -> bool {
        self.answers().holding.contains(worker)
    }

    /// Of those that were asked, these go, and the others take work again: until they say so they are kept
    /// ([`Self::keeps`]).
    pub async fn release(&self, addresses: &BTreeMap<String, String>, going: &BTreeSet<String>) {
        let staying = {
            let mut answers = self.answers();
            answers.holding.retain(|name| !going.contains(name));
            answers.holding.clone()
        };
        self.go_on(staying.iter().filter_map(|name| addresses.get(name))).await;
    }

    /// Asks all at these addresses; the names of those that take nothing more. The others are told to go on: one that was
    /// late would hold for nothing.
    async fn ask(&self, asked: &BTreeMap<String, String>) -> BTreeSet<String> {
        if asked.is_empty() {
            return BTreeSet::new();
        }
        *self.answers() = Answers { awaited: asked.keys().cloned().collect(), holding: BTreeSet::new() };
        // Out of time: then those go that have answered.
        let _ = timeout(ANSWER, self.answered(asked)).await;
        let holding = {
            let mut answers = self.answers();
            answers.awaited.clear();
            answers.holding.clone()
        };
        let others = asked.iter().filter(|(name, _)| !holding.contains(*name));
        self.go_on(others.map(|(_, address)| address)).await;
        holding
    }

    async fn go_on(&self, addresses: impl Iterator<Item = &String>) {
        let giving = async {
            for address in addresses {
                self.orders.give(address, Duration::ZERO).await;
            }
        };
        let _ = timeout(ANSWER, giving).await;
    }

    async fn answered(&self, asked: &BTreeMap<String, String>) {
        for address in asked.values() {
            self.orders.give(address, HOLD).await;
        }
        while !self.answers().awaited.is_empty() {
            self.changed.notified().await;
        }
    }

    fn answers(&self) -> std::sync::MutexGuard<'_, Answers> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Answers {
    /// Whether this was an answer. One that is idle and says nothing else has not got the order yet.
    fn hear(&mut self, worker: &Worker) -> bool {
        let holds = worker.draining && worker.in_flight == 0;
        if !holds {
            self.holding.remove(&worker.name);
        }
        let is_answer = holds || worker.in_flight > 0;
        if !is_answer || !self.awaited.remove(&worker.name) {
            return false;
        }
        if holds {
            self.holding.insert(worker.name.clone());
        }
        true
    }
}

/// Who is asked, with addresses, and who cannot be; each beginning with the last by name, as Kubernetes' pods and `local`
/// do. Replicas that have not started go before anyone, so that fewer are asked, unless all go: then they go all the same.
fn candidates(change: &Change, addresses: &BTreeMap<String, String>) -> (BTreeMap<String, String>, Vec<String>) {
    let starting = if change.to == 0 { 0 } else { change.starting };
    let needed = change.leaving().saturating_sub(starting) as usize;
    let (can, cannot): (Vec<_>, Vec<_>) = change.idle.iter().rev().partition(|name| addresses.contains_key(*name));
    let asked = can.into_iter().take(needed).map(|name| (name.clone(), addresses[name].clone()));
    (asked.collect(), cannot.into_iter().cloned().collect())
}

/// As many of those that cannot be asked as are wanted yet.
fn fill(held: BTreeSet<String>, others: Vec<String>, wanted: u32) -> BTreeSet<String> {
    let missing = (wanted as usize).saturating_sub(held.len());
    held.into_iter().chain(others.into_iter().take(missing)).collect()
}

/// The change, if of those that have started at most these may go; who was asked in vain has, or may get, work.
fn narrowed(change: Change, may_go: BTreeSet<String>) -> Change {
    let able = u32::try_from(may_go.len()).unwrap_or(u32::MAX).saturating_add(change.starting);
    let to = change.from - change.leaving().min(able);
    Change { to, idle: may_go, ..change }
}

#[cfg(test)]
mod tests;

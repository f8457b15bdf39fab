//! How long it takes after a fault until a request goes all the way again.

use crate::{kind::Kind, load::Load, rule::Task};
use futures::stream::{FuturesUnordered, StreamExt as _};
use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// After so long something is broken for good.
const GIVE_UP: Duration = Duration::from_secs(300);
const LOOK: Duration = Duration::from_millis(10);
/// So long a lookup waits for news.
const WAIT: Duration = Duration::from_secs(1);
/// So long a probe goes alone: one that hangs must not hide that the next would not.
const ABREAST: Duration = Duration::from_secs(2);
/// So many probes are under way at most: they must not become a load of their own.
const MOST: usize = 8;

/// Times from a fault's end.
#[derive(Clone, Copy, Debug)]
pub struct Recovery {
    /// Until a request was accepted.
    pub accepted: Duration,
    /// Until the result of a request that came after the fault was recorded.
    pub recorded: Duration,
}

/// Sends requests of its own and watches them.
#[derive(Debug, Default)]
pub struct Prober {
    count: AtomicU64,
}

impl Prober {
    /// Waits until a request goes all the way; `None` if none does.
    pub async fn recover(&self, load: &Load, healed: Instant) -> Option<Recovery> {
        let first = Mutex::new(None);
        let probing = async {
            let mut probes = FuturesUnordered::new();
            loop {
                if probes.len() < MOST {
                    probes.push(self.probe(load, &first));
                }
                // A new one whenever the others seem stuck: the fault may have caught them.
                if let Ok(Some(recorded)) = tokio::time::timeout(ABREAST, probes.next()).await {
                    return recorded;
                }
            }
        };
        let recorded = tokio::time::timeout(GIVE_UP, probing).await.ok()?;
        let accepted = first.lock().unwrap_or_else(PoisonError::into_inner).unwrap_or(recorded);
        let since = |instant: Instant| instant.saturating_duration_since(healed);
        Some(Recovery { accepted: since(accepted), recorded: since(recorded) })
    }

    /// Says when its result was recorded, and before that in `first` when one of all was accepted.
    async fn probe(&self, load: &Load, first: &Mutex<Option<Instant>>) -> Instant {
        let task = Task::easy(self.count.fetch_add(1, Ordering::Relaxed));
        let id = loop {
            match load.submit(&task).await {
                Some(id) => break id,
                None => tokio::time::sleep(LOOK * 5).await,
            }
        };
        first.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(Instant::now);
        loop {
            match load.api.get(&id, WAIT).await {
                Ok(record) if record.is_final() => return Instant::now(),
                _ => tokio::time::sleep(LOOK).await,
            }
        }
    }
}

/// The times of each kind.
#[derive(Clone, Debug, Default)]
pub struct Recoveries(BTreeMap<Kind, Vec<Recovery>>);

impl Recoveries {
    /// Adds one.
    pub fn add(&mut self, kind: Kind, recovery: Recovery) {
        self.0.entry(kind).or_default().push(recovery);
    }

    /// A Markdown table: p50 and max per kind.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = String::from(
            "| fault | times | accepts again: p50 | max | result again: p50 | max |\n|---|--:|--:|--:|--:|--:|\n",
        );
        for (kind, all) in &self.0 {
            let (accepted, most_accepted) = spread(all.iter().map(|recovery| recovery.accepted));
            let (recorded, most_recorded) = spread(all.iter().map(|recovery| recovery.recorded));
            text.push_str(&format!(
                "| {kind} | {} | {accepted:.2} s | {most_accepted:.2} s | {recorded:.2} s | {most_recorded:.2} s |\n",
                all.len()
            ));
        }
        text
    }
}

/// Median and maximum in seconds.
fn spread(times: impl Iterator<Item = Duration>) -> (f64, f64) {
    let mut times: Vec<Duration> = times.collect();
    times.sort_unstable();
    let at = |index: usize| times.get(index).map_or(f64::NAN, Duration::as_secs_f64);
    (at(times.len().saturating_sub(1) / 2), at(times.len().saturating_sub(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_shows_median_and_maximum() {
        let mut recoveries = Recoveries::default();
        for millis in [300, 100, 200] {
            let accepted = Duration::from_millis(millis);
            recoveries.add(Kind::Cut, Recovery { accepted, recorded: accepted * 10 });
        }
        let table = recoveries.table();
        assert!(table.contains("| cut | 3 | 0.20 s | 0.30 s | 2.00 s | 3.00 s |"), "{table}");
    }
}

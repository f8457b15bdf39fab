//! What a campaign showed.

use crate::{checker::Verdict, memory::Memory, options::Options, recovery::Recoveries, redone::Redone, soak::Soak};
use std::{collections::BTreeMap, fmt, time::Duration};

/// Violations of one campaign are printed up to so many.
const SHOWN: usize = 30;

/// What a campaign showed.
#[derive(Debug)]
pub struct Report {
    /// RabbitMQ's version.
    pub broker: String,
    /// What was asked for.
    pub options: Options,
    /// How many promises were given.
    pub promised: usize,
    /// What the comparison says.
    pub verdict: Verdict,
    /// Everything that must not be.
    pub violations: Vec<String>,
    /// Honest 503s by kind.
    pub refused: BTreeMap<String, u64>,
    /// Connections that broke.
    pub broken: u64,
    /// Ended requests that were looked at on the way and again at the end.
    pub watched: usize,
    /// Work done more than once.
    pub redone: Redone,
    /// Times to recover.
    pub recoveries: Recoveries,
    /// At the begin and at the end.
    pub memory: (Memory, Memory),
    /// What a soak showed.
    pub soak: Option<Soak>,
    /// How long the clients needed.
    pub loaded: Duration,
    /// How long it took.
    pub took: Duration,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { broker, options, promised, verdict, redone, memory: (first, last), .. } = self;
        writeln!(
            f,
            "\nRabbitMQ {broker}, {} node(s), {} queues, store {}, seed {}",
            options.nodes, options.queue_type, options.store, options.seed
        )?;
        let (loaded, took) = (self.loaded.as_secs_f64(), self.took.as_secs());
        let rate = *promised as f64 / loaded;
        writeln!(f, "{promised} promises under {} faults in {took} s ({rate:.0} requests/s)", options.faults)?;
        writeln!(
            f,
            "lost {}, stuck {}, wrong {}, changed after their end {} (of {} watched), attempts out of bounds {}",
            verdict.lost.len(),
            verdict.stuck.len(),
            verdict.wrong.len(),
            verdict.changed.len(),
            self.watched,
            verdict.attempts.len()
        )?;
        writeln!(
            f,
            "succeeded {}, failed as they should {}, gone with a deleted queue and told {}, recorded without a promise {}",
            verdict.succeeded, verdict.failed, verdict.told, verdict.in_doubt
        )?;
        let refused: Vec<String> = self.refused.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        writeln!(f, "honest 503s: {}; broken connections: {}", refused.join(", "), self.broken)?;
        writeln!(f, "attempts run {}, of these again {}", redone.begun, redone.again)?;
        writeln!(f, "memory first: {first}\nmemory last:  {last}\n")?;
        match &self.soak {
            Some(soak) => writeln!(f, "{soak}")?,
            None => writeln!(f, "{}", self.recoveries.table())?,
        }
        for violation in self.violations.iter().take(SHOWN) {
            writeln!(f, "VIOLATION: {violation}")?;
        }
        match self.violations.len() {
            0 => write!(f, "no violation"),
            count => write!(f, "{count} violations; again: {}", options.again()),
        }
    }
}

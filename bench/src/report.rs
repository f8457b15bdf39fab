//! The result as Markdown.

use crate::{load::Measured, machine::Machine, outcome::Outcome, usage::Memory};
use std::fmt;

/// Everything that was measured.
pub struct Report {
    /// Where.
    pub machine: Machine,
    /// One per number of connections.
    pub submits: Vec<Outcome>,
    /// Of the web side, after all submits, if any.
    pub web_memory: Option<Memory>,
    /// One per concurrency.
    pub processing: Vec<Outcome>,
    /// Of the processor, per concurrency.
    pub processor_memory: Vec<(u16, Memory)>,
}

impl Report {
    /// The result as a page that explains itself.
    pub fn page(&self, seconds: u64, rounds: u32) -> String {
        let preface = include_str!("preface.md").trim_end();
        let preface = preface.replace("{seconds}", &seconds.to_string()).replace("{rounds}", &rounds.to_string());
        format!("{preface}\n\n{self}")
    }

    fn submits(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "### Submits\n")?;
        writeln!(f, "| connections | Warren/s | p50 ms | p99 ms | bare/s | p50 ms | p99 ms | ratio | min–max |")?;
        writeln!(f, "|--:|--:|--:|--:|--:|--:|--:|--:|--:|")?;
        for outcome in &self.submits {
            let (ratio, least, most) = outcome.ratio();
            let [warren, warren_p50, warren_p99] = figures().map(|figure| outcome.warren(figure));
            let [bare, bare_p50, bare_p99] = figures().map(|figure| outcome.bare(figure));
            write!(f, "| {} | {warren:.0} | {warren_p50:.2} | {warren_p99:.2} ", outcome.many)?;
            write!(f, "| {bare:.0} | {bare_p50:.2} | {bare_p99:.2} ")?;
            writeln!(f, "| **{ratio:.2}** | {least:.2}–{most:.2} |")?;
        }
        Ok(())
    }

    fn processing(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n### Processing\n")?;
        writeln!(f, "| concurrency | Warren/s | bare/s | ratio | min–max |")?;
        writeln!(f, "|--:|--:|--:|--:|--:|")?;
        for outcome in &self.processing {
            let (ratio, least, most) = outcome.ratio();
            let [warren, ..] = figures().map(|figure| outcome.warren(figure));
            let [bare, ..] = figures().map(|figure| outcome.bare(figure));
            write!(f, "| {} | {warren:.0} | {bare:.0} ", outcome.many)?;
            writeln!(f, "| **{ratio:.2}** | {least:.2}–{most:.2} |")?;
        }
        Ok(())
    }

    fn memory(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n### Resident memory, MiB\n")?;
        writeln!(f, "| program | after the load | peak |\n|---|--:|--:|")?;
        if let Some(memory) = self.web_memory {
            writeln!(f, "| web side | {:.1} | {:.1} |", memory.now, memory.peak)?;
        }
        for (concurrency, memory) in &self.processor_memory {
            writeln!(f, "| processor, concurrency {concurrency} | {:.1} | {:.1} |", memory.now, memory.peak)?;
        }
        Ok(())
    }

    fn cpu(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n### CPU milliseconds per 1000 requests, and how many cores other programs kept busy\n")?;
        writeln!(f, "| | Warren | its client | its RabbitMQ | bare client | its RabbitMQ | others |")?;
        writeln!(f, "|---|--:|--:|--:|--:|--:|--:|")?;
        for (what, outcomes) in [("submits", &self.submits), ("processing", &self.processing)] {
            for outcome in outcomes {
                let [program, client, broker, bare, bare_broker] = outcome.cpu();
                write!(f, "| {what}, {} | {program:.0} | {client:.0} | {broker:.0} ", outcome.many)?;
                writeln!(f, "| {bare:.0} | {bare_broker:.0} | {:.2} |", outcome.others())?;
            }
        }
        Ok(())
    }
}

/// More than this many cores in use by others, and the figures say as much about them.
const QUIET: f64 = 0.2;

/// Rate, median and near-worst latency.
fn figures() -> [fn(&Measured) -> f64; 3] {
    [|measured| measured.per_second, |measured| measured.within(0.5), |measured| measured.within(0.99)]
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n", self.machine)?;
        let others = self.submits.iter().chain(&self.processing).map(Outcome::others).fold(0.0, f64::max);
        if others > QUIET {
            writeln!(f, "**Not a quiet machine**: other programs kept up to {others:.1} cores busy meanwhile.\n")?;
        }
        self.submits(f)?;
        self.processing(f)?;
        self.memory(f)?;
        self.cpu(f)
    }
}

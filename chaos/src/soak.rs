//! The same load for a long time, and what memory does meanwhile.

use crate::{load::Load, local::Local, memory::Memory, pace::Pace, say};
use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

/// How long clients press for the top rate.
const PRESS: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(500);
const MINUTE: Duration = Duration::from_secs(60);

/// What a soak showed.
#[derive(Clone, Debug, Default)]
pub struct Soak {
    /// Requests per second that were sent.
    pub rate: f64,
    /// Requests per second at most, from the first submit to the last result.
    pub top: Option<f64>,
    /// Memory at the begin and after each minute.
    pub minutes: Vec<Memory>,
}

/// Starts so many clients.
#[must_use]
pub fn clients(load: &Arc<Load>, pace: &Arc<Pace>, count: u16) -> JoinSet<()> {
    let mut clients = JoinSet::new();
    for _ in 0..count {
        let (load, pace) = (load.clone(), pace.clone());
        clients.spawn(async move { load.client(&pace).await });
    }
    clients
}

/// How many requests per second go all the way when clients press.
///
/// # Errors
/// The records cannot be read.
pub async fn top_rate(load: &Arc<Load>, count: u16) -> anyhow::Result<f64> {
    let (begun, pace) = (Instant::now(), Arc::new(Pace::new(u64::MAX, 0)));
    let mut pressing = clients(load, &pace, count);
    tokio::time::sleep(PRESS).await;
    pace.end();
    while pressing.join_next().await.is_some() {}
    while open(load).await? > 0 {
        tokio::time::sleep(LOOK).await;
    }
    Ok(load.promises.count() as f64 / begun.elapsed().as_secs_f64())
}

async fn open(load: &Load) -> anyhow::Result<usize> {
    let mut open = 0;
    for status in ["queued", "started", "retrying"] {
        open += load.api.list(Some(status)).await?.0.len();
    }
    Ok(open)
}

/// Notes the memory each minute, for so long.
pub async fn watch(local: &Local, lasts: Duration) -> Vec<Memory> {
    let begun = Instant::now();
    let mut minutes = vec![Memory::of(local)];
    while begun.elapsed() + MINUTE <= lasts {
        tokio::time::sleep(MINUTE).await;
        let memory = Memory::of(local);
        say!("minute {}: {memory}", minutes.len());
        minutes.push(memory);
    }
    tokio::time::sleep(lasts.saturating_sub(begun.elapsed())).await;
    minutes
}

impl fmt::Display for Soak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let top = self.top.map(|top| format!(" (top rate {top:.0}/s)")).unwrap_or_default();
        writeln!(f, "soak at {:.0}/s{top} for {} minutes", self.rate, self.minutes.len().saturating_sub(1))?;
        if let (Some(first), Some(last)) = (self.minutes.first(), self.minutes.last()) {
            writeln!(f, "first: {first}\nlast:  {last}")?;
        }
        writeln!(f, "| minute | web MiB | processor MiB | local MiB |\n|--:|--:|--:|--:|")?;
        for (minute, memory) in self.minutes.iter().enumerate() {
            writeln!(f, "| {minute} | {:.1} | {:.1} | {:.1} |", memory.web, memory.processor, memory.local)?;
        }
        Ok(())
    }
}

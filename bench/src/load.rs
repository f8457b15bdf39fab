//! Keeps a number of lanes busy and measures them over a fixed time.

use crate::usage::{Cpu, Watched};
use anyhow::{Context as _, bail};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

/// How long a load runs before it is measured.
const WARM_UP: Duration = Duration::from_secs(2);

const WARMING: u8 = 0;
const MEASURING: u8 = 1;
const OVER: u8 = 2;

/// One thing at a time, again and again.
pub trait Lane: Send + 'static {
    /// Does it once, until its answer is there.
    fn once(&mut self) -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// What was measured.
pub struct Measured {
    /// How often a lane was done, per second.
    pub per_second: f64,
    /// CPU time of everyone involved, per 1000 times.
    pub cpu: Cpu,
    /// How long each took, in microseconds, ascending.
    latencies: Vec<u32>,
}

impl Measured {
    /// A rate without latencies: `many` were done in this time.
    pub fn of_many(many: u32, took: Duration, cpu: Cpu) -> Self {
        let many = f64::from(many);
        Self { per_second: many / took.as_secs_f64(), cpu: cpu.times(1000.0 / many), latencies: Vec::new() }
    }

    /// The time, in milliseconds, within which this part (0 to 1) was done.
    pub fn within(&self, part: f64) -> f64 {
        let last = self.latencies.len().saturating_sub(1);
        let index = (part * last as f64).round() as usize;
        self.latencies.get(index).map_or(f64::NAN, |micros| f64::from(*micros) / 1000.0)
    }
}

/// Runs all lanes at once through warm-up and window.
pub async fn run(lanes: Vec<impl Lane>, window: Duration, watched: Watched) -> anyhow::Result<Measured> {
    let phase = Arc::new(AtomicU8::new(WARMING));
    let mut running: JoinSet<_> = lanes.into_iter().map(|lane| drive(lane, phase.clone())).collect();
    let (took, cpu) = tokio::select! {
        measured = time(window, watched, &phase) => measured?,
        ended = running.join_next() => match ended.context("there is nothing to run")?? {
            Ok(_) => bail!("a lane ended by itself"),
            Err(error) => return Err(error),
        },
    };
    let mut latencies = Vec::new();
    while let Some(ended) = running.join_next().await {
        latencies.extend(ended??);
    }
    latencies.sort_unstable();
    let done = latencies.len() as f64;
    Ok(Measured { per_second: done / took.as_secs_f64(), cpu: cpu.times(1000.0 / done), latencies })
}

async fn drive(mut lane: impl Lane, phase: Arc<AtomicU8>) -> anyhow::Result<Vec<u32>> {
    let mut latencies = Vec::new();
    loop {
        let begun = Instant::now();
        lane.once().await?;
        match phase.load(Ordering::Relaxed) {
            WARMING => {}
            MEASURING => latencies.push(u32::try_from(begun.elapsed().as_micros()).unwrap_or(u32::MAX)),
            _ => return Ok(latencies),
        }
    }
}

async fn time(window: Duration, watched: Watched, phase: &AtomicU8) -> anyhow::Result<(Duration, Cpu)> {
    tokio::time::sleep(WARM_UP).await;
    let (before, begun) = (watched.cpu()?, Instant::now());
    phase.store(MEASURING, Ordering::Relaxed);
    tokio::time::sleep(window).await;
    phase.store(OVER, Ordering::Relaxed);
    Ok((begun.elapsed(), watched.cpu()?.since(before)))
}

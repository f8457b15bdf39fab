//! Processing: the real processor with a handler that does nothing, beside a bare worker.

use crate::{
    bare_worker::BareWorker,
    broker::Broker,
    load::Measured,
    options::Options,
    outcome::{Outcome, Round},
    program::Program,
    progress,
    usage::{Memory, Watched},
};
use anyhow::bail;
use std::{
    path::Path,
    time::{Duration, Instant},
};

/// How often the results are counted.
const POLL: Duration = Duration::from_millis(5);

/// How long nothing may arrive.
const PATIENCE: Duration = Duration::from_secs(30);

/// Who is measured.
enum Worker {
    Warren(Box<Program>),
    Bare(Box<BareWorker>),
}

/// Measures all concurrencies, and the highest memory of a processor at each.
pub async fn measure(
    broker: &Broker,
    scratch: &Path,
    options: &Options,
) -> anyhow::Result<(Vec<Outcome>, Vec<(u16, Memory)>)> {
    let (mut outcomes, mut memories) = (Vec::new(), Vec::new());
    for &concurrency in &options.concurrencies.0 {
        let requests = enough(broker, concurrency, options.window()).await?;
        let (mut rounds, mut highest) = (Vec::new(), None);
        for number in 1..=options.rounds {
            let bare = bare(broker, concurrency, requests).await?;
            progress::tell("bare worker", concurrency, number, &bare);
            let (warren, memory) = warren(broker, concurrency, requests, scratch).await?;
            progress::tell("processor", concurrency, number, &warren);
            highest =
                Some(highest.map_or(memory, |known: Memory| if known.peak > memory.peak { known } else { memory }));
            rounds.push(Round { warren, bare });
        }
        outcomes.push(Outcome { many: concurrency, rounds });
        memories.extend(highest.map(|memory| (concurrency, memory)));
    }
    Ok((outcomes, memories))
}

/// As many requests as the bare worker does within the window.
async fn enough(broker: &Broker, concurrency: u16, window: Duration) -> anyhow::Result<u32> {
    let trial = (u32::from(concurrency) + 4) * 150;
    let rate = bare(broker, concurrency, trial.min(8000)).await?.per_second;
    Ok((rate * window.as_secs_f64()) as u32)
}

async fn bare(broker: &Broker, concurrency: u16, requests: u32) -> anyhow::Result<Measured> {
    prepare(broker, requests).await?;
    let mut worker = Worker::Bare(Box::new(BareWorker::start(broker, concurrency).await?));
    let measured = drain(broker, &mut worker, requests).await?;
    worker.stop().await?;
    Ok(measured)
}

async fn warren(
    broker: &Broker,
    concurrency: u16,
    requests: u32,
    scratch: &Path,
) -> anyhow::Result<(Measured, Memory)> {
    prepare(broker, requests).await?;
    let program = start_processor(broker, concurrency, scratch)?;
    let pid = program.pid();
    let mut worker = Worker::Warren(Box::new(program));
    let measured = drain(broker, &mut worker, requests).await?;
    let memory = Memory::of(pid)?;
    worker.stop().await?;
    Ok((measured, memory))
}

async fn prepare(broker: &Broker, requests: u32) -> anyhow::Result<()> {
    broker.purge().await?;
    broker.fill(requests).await
}

fn start_processor(broker: &Broker, concurrency: u16, scratch: &Path) -> anyhow::Result<Program> {
    let (address, concurrency) = (broker.address(), concurrency.to_string());
    let variables = [
        ("AMQP_URL", address.as_str()),
        ("WARREN_EXCHANGE", &broker.topology.exchange),
        ("WARREN_CONCURRENCY", &concurrency),
        ("WARREN_HANDLER", "demo"),
        ("WARREN_DEMO_DELAY", "0s"),
    ];
    Program::start("warren-processor", &variables, scratch)
}

/// Measures while 10 to 90 % of the results arrive, so that neither start nor end of a worker counts; then waits for
/// the rest, for a lost one would be a fault.
async fn drain(broker: &Broker, worker: &mut Worker, requests: u32) -> anyhow::Result<Measured> {
    let watched = Watched { program: worker.pid(), broker: broker.pid()? };
    let first = arrived(broker, worker, requests / 10).await?;
    let (before, begun) = (watched.cpu()?, Instant::now());
    let last = arrived(broker, worker, requests / 10 * 9).await?;
    let (took, cpu) = (begun.elapsed(), watched.cpu()?.since(before));
    arrived(broker, worker, requests).await?;
    Ok(Measured::of_many(last - first, took, cpu))
}

/// Waits until that many results are there, or more; returns how many.
async fn arrived(broker: &Broker, worker: &mut Worker, wanted: u32) -> anyhow::Result<u32> {
    let (mut seen, mut news) = (0, Instant::now());
    loop {
        let results = broker.results().await?;
        if results >= wanted {
            return Ok(results);
        }
        if results != seen {
            (seen, news) = (results, Instant::now());
        }
        worker.check().await?;
        if news.elapsed() > PATIENCE {
            bail!(worker.explain(anyhow::anyhow!("{results} of {wanted} results came, and no more in {PATIENCE:?}")));
        }
        tokio::time::sleep(POLL).await;
    }
}

impl Worker {
    fn pid(&self) -> Option<u32> {
        match self {
            Self::Warren(program) => Some(program.pid()),
            Self::Bare(_) => None,
        }
    }

    async fn check(&mut self) -> anyhow::Result<()> {
        match self {
            Self::Warren(program) => program.check(),
            Self::Bare(bare) if bare.running.is_finished() => {
                (&mut bare.running).await??;
                bail!("RabbitMQ cancelled the bare worker")
            }
            Self::Bare(_) => Ok(()),
        }
    }

    fn explain(&self, error: anyhow::Error) -> anyhow::Error {
        match self {
            Self::Warren(program) => program.explain(error),
            Self::Bare(_) => error,
        }
    }

    async fn stop(self) -> anyhow::Result<()> {
        match self {
            Self::Warren(program) => program.stop().await,
            Self::Bare(bare) => bare.stop().await,
        }
    }
}

//! A campaign: load, faults, the end, the comparison.

use crate::{
    api::{Api, Record},
    brokers::Brokers,
    checker::{Evidence, compare},
    findings::Findings,
    load::{Load, Met},
    local::{Local, PIPELINE},
    memory::Memory,
    options::Options,
    pace::Pace,
    promises::Promises,
    recovery::{Prober, Recoveries},
    redone,
    report::Report,
    say, schedule,
    schedule::Fault,
    soak,
    soak::Soak,
    stage::Stage,
    store::Store,
};
use anyhow::{Context as _, ensure};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How long the last requests may take to end: a dead letter that found no queue comes back after 180 s, and a request that
/// RabbitMQ holds back is put back after ten minutes, its delay and twice the handler's timeout.
const SETTLE: Duration = Duration::from_mins(15);
const LOOK: Duration = Duration::from_millis(500);
/// How often an ended request is looked at on the way, to see whether it changes later.
const SAMPLE: Duration = Duration::from_millis(50);

/// Runs one in this directory; the report says what came of it.
///
/// # Errors
/// It could not be run to its end.
pub async fn run(options: &Options, directory: &Path) -> anyhow::Result<Report> {
    let state = directory.join("state");
    let store = Store::prepare(options, &state, expected(options)).await?;
    let faults = match options.soak {
        Some(_) => Vec::new(),
        None => schedule::draw(options.seed, options.faults, &options.kinds(|kind| store.can(kind))),
    };
    let lines: Vec<String> = faults.iter().map(Fault::to_string).collect();
    std::fs::write(directory.join("schedule"), lines.join("\n"))?;
    let brokers = Brokers::start(directory, options.server.as_deref(), options.nodes).await?;
    let Options { queue_type, seed, .. } = options;
    say!("RabbitMQ {}, {queue_type} queues, store {}, seed {seed}", brokers.version(), options.store);
    let local = Local::start(options, &store, directory, &brokers.url()).await?;
    let load = Arc::new(Load {
        api: local.api.clone(),
        promises: Promises::new(&directory.join("promises"))?,
        findings: Findings::default(),
        met: Met::default(),
    });
    let clients = options.clients.into();
    let stage = Stage { brokers, store, local, deleted: BTreeSet::new(), deleted_at_most: 0, clients };
    let mut campaign = Campaign {
        options,
        stage,
        load,
        recoveries: Recoveries::default(),
        seen: Seen::default(),
        soaked: None,
        begun: Instant::now(),
    };
    let done = campaign.go(&faults, directory).await;
    if done.is_err() || done.as_ref().is_ok_and(|report| !report.violations.is_empty()) {
        // What it was about counts more than that it cannot be kept.
        if let Err(error) = campaign.stage.store.keep(&directory.join("store")) {
            say!("the store cannot be kept: {error:#}");
        }
    }
    done
}

/// Requests that will be recorded; of a soak that measures its rate, more than this machine can do.
fn expected(options: &Options) -> u64 {
    let soaked = options.soak.map(|lasts| options.rate.unwrap_or(3000.0) * lasts.as_secs_f64());
    soaked.map_or(options.messages, |requests| requests as u64)
}

/// Ended requests as they were first seen.
type Seen = Arc<Mutex<HashMap<String, Record>>>;

struct Campaign<'a> {
    options: &'a Options,
    stage: Stage,
    load: Arc<Load>,
    recoveries: Recoveries,
    seen: Seen,
    soaked: Option<Soak>,
    begun: Instant,
}

impl Campaign<'_> {
    async fn go(&mut self, faults: &[Fault], directory: &Path) -> anyhow::Result<Report> {
        let first = Memory::of(&self.stage.local);
        let sampling = tokio::spawn(sample(self.load.clone(), self.seen.clone()));
        let broken = match self.options.soak {
            Some(lasts) => self.soak(lasts).await,
            None => self.storm(faults).await,
        };
        let loaded = self.begun.elapsed();
        sampling.abort();
        broken?;
        say!("{} promises; waiting for their ends", self.load.promises.count());
        let settled = self.settle().await;
        let last = Memory::of(&self.stage.local);
        self.judge(directory, settled, (first, last), loaded).await
    }

    /// The load, and the faults.
    async fn storm(&mut self, faults: &[Fault]) -> anyhow::Result<()> {
        let pace = Arc::new(Pace::new(self.options.messages, u32::try_from(faults.len())?));
        let mut clients = soak::clients(&self.load, &pace, self.options.clients);
        let struck = self.strike(faults, &pace).await;
        if struck.is_err() {
            // They would try for ever.
            clients.abort_all();
        }
        while clients.join_next().await.is_some() {}
        struck
    }

    /// The load alone, for long.
    async fn soak(&mut self, lasts: Duration) -> anyhow::Result<()> {
        let top = match self.options.rate {
            Some(_) => None,
            None => Some(soak::top_rate(&self.load, self.options.clients).await?),
        };
        let rate = self.options.rate.or(top.map(|top| top / 2.0)).unwrap_or_default();
        say!("soaking at {rate:.0} requests/s for {lasts:?}");
        let pace = Arc::new(Pace::steady(rate));
        let mut clients = soak::clients(&self.load, &pace, self.options.clients);
        let minutes = soak::watch(&self.stage.local, lasts).await;
        pace.end();
        while clients.join_next().await.is_some() {}
        self.soaked = Some(Soak { rate, top, minutes });
        Ok(())
    }

    /// All faults, one after the other, each until a request goes all the way again.
    async fn strike(&mut self, faults: &[Fault], pace: &Pace) -> anyhow::Result<()> {
        let prober = Prober::default();
        for fault in faults {
            tokio::time::sleep(fault.gap).await;
            say!("{fault}");
            let healed = self.stage.strike(fault, &self.load).await.with_context(|| format!("fault {fault}"))?;
            let recovery = prober.recover(&self.load, healed).await;
            let recovery = recovery.with_context(|| format!("no request goes all the way after fault {fault}"));
            let recovery = recovery.inspect_err(|error| self.load.findings.note(error.to_string()))?;
            self.recoveries.add(fault.kind, recovery);
            self.stage.mend().await?;
            pace.slot_done();
        }
        Ok(())
    }

    /// Waits until everything that was promised has ended and every queue but the dead letters' is empty.
    async fn settle(&self) -> anyhow::Result<BTreeMap<String, Record>> {
        let begun = Instant::now();
        loop {
            let seen = match self.records().await {
                Ok((recorded, 0)) => {
                    say!("all have ended after {:.0?}", begun.elapsed());
                    return Ok(recorded);
                }
                Ok((recorded, open)) if begun.elapsed() > SETTLE => {
                    say!("{open} requests are open after {SETTLE:?}");
                    return Ok(recorded);
                }
                Ok((_, open)) => format!("{open} are open"),
                Err(error) => format!("{error:#}"),
            };
            ensure!(begun.elapsed() < SETTLE, "records cannot be read: {seen}");
            tokio::time::sleep(LOOK).await;
        }
    }

    /// All records, and how many promises are open.
    async fn records(&self) -> anyhow::Result<(BTreeMap<String, Record>, usize)> {
        let (recorded, twice) = self.load.api.list(None).await?;
        for id in twice {
            self.load.findings.note(format!("{id} is listed twice"));
        }
        let (promised, _) = self.load.promises.all();
        let ended = |id: &String| recorded.get(id).is_some_and(Record::is_final);
        let open = promised.keys().filter(|id| !ended(id) && !self.stage.deleted.contains(*id)).count();
        let others =
            recorded.values().filter(|record| !record.is_final() && !self.stage.deleted.contains(&record.request_id));
        Ok((recorded.clone(), open.max(others.count())))
    }

    async fn judge(
        &mut self,
        directory: &Path,
        settled: anyhow::Result<BTreeMap<String, Record>>,
        memory: (Memory, Memory),
        loaded: Duration,
    ) -> anyhow::Result<Report> {
        let recorded = self.load.api.details(settled?.into_keys()).await.context("records cannot be read")?;
        let left = self.left().await?;
        if let Err(error) = self.stage.local.end().await {
            self.load.findings.note(format!("{error:#}"));
        }
        let (promised, repeated) = self.load.promises.all();
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let verdict =
            compare(&Evidence { promised: &promised, recorded: &recorded, seen: &seen, deleted: &self.stage.deleted });
        let mut violations = self.load.findings.all();
        violations.extend(verdict.violations());
        violations.extend(repeated.into_iter().map(|id| format!("{id} was promised twice")));
        violations.extend(left);
        violations.extend(self.check_dead(&recorded).await?);
        if verdict.told > self.stage.deleted_at_most {
            let most = self.stage.deleted_at_most;
            violations.push(format!("{} requests were lost with queues that held {most} at most", verdict.told));
        }
        Ok(Report {
            broker: self.stage.brokers.version(),
            options: self.options.clone(),
            promised: promised.len(),
            verdict,
            violations,
            refused: self.load.met.refused(),
            broken: self.load.met.broken(),
            watched: seen.len(),
            redone: redone::count(&directory.join("attempts"))?,
            recoveries: self.recoveries.clone(),
            memory,
            soak: self.soaked.clone(),
            loaded,
            took: self.begun.elapsed(),
        })
    }

    /// Messages that nobody will ever take.
    async fn left(&self) -> anyhow::Result<Vec<String>> {
        let begun = Instant::now();
        loop {
            let mut messages = self.stage.brokers.messages().await?;
            messages.retain(|queue, count| *count > 0 && queue.starts_with(PIPELINE) && !queue.ends_with(".dead"));
            if messages.is_empty() || begun.elapsed() > SETTLE {
                return Ok(messages.into_iter().map(|(queue, count)| format!("left in {queue}: {count}")).collect());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The dead letters are those of the requests that failed; each is there, maybe more than once.
    async fn check_dead(&self, recorded: &BTreeMap<String, Record>) -> anyhow::Result<Vec<String>> {
        let (dead, letters) = self.stage.brokers.dead().await?;
        let failed = recorded.values().filter(|record| record.status == "failed");
        let failed: BTreeSet<String> = failed.map(|record| record.request_id.clone()).collect();
        say!("{letters} dead letters of {} requests, {} failed", dead.len(), failed.len());
        let missing = failed.difference(&dead).map(|id| format!("{id} failed and is not among the dead letters"));
        let extra = dead.difference(&failed).map(|id| format!("{id} is among the dead letters and did not fail"));
        Ok(missing.chain(extra).collect())
    }
}

/// Looks at requests, again and again, and notes how they ended.
async fn sample(load: Arc<Load>, seen: Seen) {
    for turn in 0_usize.. {
        tokio::time::sleep(SAMPLE).await;
        // A large prime's multiples reach all of them, in no order.
        let Some(id) = load.promises.any(turn.wrapping_mul(7_368_787)) else { continue };
        if let Some(record) = ended(&load.api, &id).await {
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.entry(id).or_insert(record);
        }
    }
}

async fn ended(api: &Api, id: &str) -> Option<Record> {
    api.get(id, Duration::ZERO).await.ok().filter(Record::is_final)
}

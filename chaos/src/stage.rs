//! Everything that runs, and how each kind of fault is done to it.

use crate::{
    brokers::Brokers,
    kind::Kind,
    load::Load,
    local::{CONCURRENCY, Local, PIPELINE, PROCESSORS},
    processes,
    schedule::Fault,
    store::Store,
};
use anyhow::{Context as _, ensure};
use nix::sys::signal::Signal;
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

/// How long a process that was killed a moment ago may take to be there again.
const VICTIM: Duration = Duration::from_secs(60);
/// How long Warren may take to say that a queue is missing.
const TOLD: Duration = Duration::from_secs(60);
/// A line so slow that AMQP's small frames take five times this for a publish and its confirm.
const LATE: Duration = Duration::from_millis(60);
const LOOK: Duration = Duration::from_millis(50);
/// Results that a replica of the web side holds until they are recorded.
const WEB_PREFETCH: usize = 64;
/// Requests that processors hold, or whose outcome they publish.
const IN_WORK: usize = CONCURRENCY * PROCESSORS;
/// Messages that RabbitMQ moves out of a retry queue at a time. It counts them as ready in neither queue.
const FALLING_DUE: usize = 32;

/// A queue that an outsider deletes.
#[derive(Clone, Copy, Debug)]
enum Doomed {
    Requests,
    Results,
    Retry,
}

impl Doomed {
    const ALL: [Self; 3] = [Self::Requests, Self::Results, Self::Retry];

    fn queue(self) -> String {
        let suffix = match self {
            Self::Requests => "requests",
            Self::Results => "results",
            Self::Retry => "retry.400ms",
        };
        format!("{PIPELINE}.{suffix}")
    }

    /// How many messages it can have held beyond those that were ready: given to somebody, or under way to it, which
    /// RabbitMQ confirms although the queue is deleted just then.
    fn unseen(self, clients: usize, web_replicas: usize) -> usize {
        match self {
            Self::Requests => IN_WORK + clients + FALLING_DUE,
            Self::Results => WEB_PREFETCH * web_replicas + IN_WORK,
            Self::Retry => FALLING_DUE + IN_WORK,
        }
    }
}

/// Everything that runs.
#[derive(Debug)]
pub struct Stage {
    /// The broker and the line to it.
    pub brokers: Brokers,
    /// Where the web side keeps its records.
    pub store: Store,
    /// Warren.
    pub local: Local,
    /// Ids that may have been in queues when those were deleted.
    pub deleted: BTreeSet<String>,
    /// How many messages the deleted queues can have held.
    pub deleted_at_most: usize,
    /// How many clients submit.
    pub clients: usize,
}

impl Stage {
    /// Does it, waits as long as it lasts, and undoes it; says when it was over.
    ///
    /// # Errors
    /// The fault could not be done or undone: no violation, but no campaign either.
    pub async fn strike(&mut self, fault: &Fault, load: &Load) -> anyhow::Result<Instant> {
        let Fault { kind, hold, pick, .. } = *fault;
        match kind {
            Kind::KillWeb | Kind::KillProcessor | Kind::KillHandler => self.signal(kind, pick, Signal::SIGKILL).await?,
            Kind::PauseWeb | Kind::PauseProcessor => return self.pause(kind, pick, hold).await,
            Kind::PauseBroker => return self.pause_broker(pick, hold).await,
            Kind::KillBroker => return self.kill_broker(pick, hold).await,
            Kind::Cut => self.line(hold, |line| line.cut()).await,
            Kind::Swallow => self.line(hold, |line| line.swallow()).await,
            Kind::HalfOpen => self.line(hold, |line| line.swallow_requests()).await,
            Kind::Slow => self.line(hold, |line| line.delay(LATE)).await,
            Kind::DiskFull | Kind::StoreLocked | Kind::KillStore | Kind::CutStore => {
                self.store.strike(kind, hold).await?;
            }
            Kind::MemoryAlarm => {
                self.brokers.starve(pick, true).await?;
                tokio::time::sleep(hold).await;
                self.brokers.starve(pick, false).await?;
            }
            Kind::DeleteQueue => return self.delete_queue(pick, load).await,
        }
        Ok(Instant::now())
    }

    /// A single node is started again, and waited for. A cluster must go on without the one that was killed.
    async fn kill_broker(&mut self, pick: u32, hold: Duration) -> anyhow::Result<Instant> {
        self.brokers.kill(pick);
        if self.brokers.is_cluster() {
            return Ok(Instant::now());
        }
        tokio::time::sleep(hold).await;
        self.mend().await?;
        Ok(Instant::now())
    }

    /// After the recovery from a fault: what Warren had to do without is there again.
    ///
    /// # Errors
    /// It cannot be had again.
    pub async fn mend(&mut self) -> anyhow::Result<()> {
        self.brokers.mend().await
    }

    async fn line(&self, hold: Duration, breaks: impl Fn(&warren_testkit::proxy::Proxy)) {
        breaks(&self.brokers.line);
        tokio::time::sleep(hold).await;
        self.brokers.line.restore();
    }

    async fn pause(&self, kind: Kind, pick: u32, hold: Duration) -> anyhow::Result<Instant> {
        let pid = self.victim(kind, pick).await?;
        processes::signal(pid, Signal::SIGSTOP);
        tokio::time::sleep(hold).await;
        processes::signal(pid, Signal::SIGCONT);
        Ok(Instant::now())
    }

    async fn pause_broker(&self, pick: u32, hold: Duration) -> anyhow::Result<Instant> {
        let pid = self.brokers.pid(pick).context("the broker does not run")?;
        processes::signal(pid, Signal::SIGSTOP);
        tokio::time::sleep(hold).await;
        processes::signal(pid, Signal::SIGCONT);
        Ok(Instant::now())
    }

    async fn signal(&self, kind: Kind, pick: u32, signal: Signal) -> anyhow::Result<()> {
        processes::signal(self.victim(kind, pick).await?, signal);
        Ok(())
    }

    /// One of the processes that this kind of fault strikes.
    async fn victim(&self, kind: Kind, pick: u32) -> anyhow::Result<u32> {
        let begun = Instant::now();
        loop {
            let running = match kind {
                Kind::KillWeb | Kind::PauseWeb => self.local.web(),
                Kind::KillHandler => self.local.handlers(),
                _ => self.local.processors(),
            };
            if let Some(pid) = running.get(usize::try_from(pick).unwrap_or(0) % running.len().max(1)) {
                return Ok(*pid);
            }
            ensure!(begun.elapsed() < VICTIM, "there is nobody for {kind} to strike: none runs after {VICTIM:?}");
            tokio::time::sleep(LOOK).await;
        }
    }

    /// What was in the queue is lost by an outsider's hand: noted here, so that nothing else is excused. Warren must
    /// say that the queue is missing, and declare it again.
    async fn delete_queue(&mut self, pick: u32, load: &Load) -> anyhow::Result<Instant> {
        let doomed = Doomed::ALL[usize::try_from(pick).unwrap_or(0) % Doomed::ALL.len()];
        let queue = doomed.queue();
        let said = self.local.said();
        let begun = Instant::now();
        let mut open = self.open(load).await?;
        let held = self.brokers.delete(&queue).await?;
        let over = Instant::now();
        // Those promised meanwhile may have been in it too, and those that were asked for and are promised later.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let (promised, _) = load.promises.all();
        let meanwhile = |promise: &crate::promises::Promise| promise.asked <= over && promise.asked + TOLD > begun;
        open.extend(promised.into_iter().filter(|(_, promise)| meanwhile(promise)).map(|(id, _)| id));
        self.deleted.append(&mut open);
        self.deleted_at_most += usize::try_from(held)? + doomed.unseen(self.clients, self.store.replicas());
        let missing = format!("queue {queue} is missing");
        while !self.local.has_said(&missing, said) && over.elapsed() < TOLD {
            tokio::time::sleep(LOOK).await;
        }
        if !self.local.has_said(&missing, said) {
            load.findings.note(format!("{queue} was deleted and nobody said so within {TOLD:?}"));
        }
        Ok(over)
    }

    /// Requests without an end, now.
    async fn open(&self, load: &Load) -> anyhow::Result<BTreeSet<String>> {
        let mut open = BTreeSet::new();
        for status in ["queued", "started", "retrying"] {
            open.extend(load.api.list(Some(status)).await?.0.into_keys());
        }
        Ok(open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deleted_queue_excuses_no_more_than_could_be_under_way_to_it() {
        let unseen = Doomed::ALL.map(|doomed| doomed.unseen(8, 1));
        assert_eq!(unseen, [56, 80, 48], "requests, results, retries");
        assert_eq!(Doomed::Retry.unseen(8, 1), Doomed::Retry.unseen(1000, 1), "clients send nothing there");
        assert_eq!(Doomed::Results.unseen(8, 2), 144, "each replica takes its share");
    }
}

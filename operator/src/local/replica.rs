//! Keeps one replica of a Deployment alive: starts its processes, notices when one ends, starts it again.

use super::{
    board::{Board, ReplicaId, ReplicaState},
    pod::{PodPlan, ProgramPlan},
    process::Process,
    workspace::Workspace,
};
use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use std::{
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// A process that lived this long was a good one: its next end is answered at once again.
const GOOD_LIFE: Duration = Duration::from_secs(10);
/// How often a process that has started is asked whether it is ready, and a ready one whether it still is.
const PROBE: Duration = Duration::from_millis(200);
/// After how long a process that does not get ready is worth a line.
const SLOW: Duration = Duration::from_secs(10);

/// What a replica needs to know.
#[derive(Clone)]
pub struct Replica {
    /// Pipeline, side and number.
    pub id: ReplicaId,
    /// What it runs.
    pub plan: PodPlan,
    /// Where processes are noted.
    pub workspace: Workspace,
    /// Where its state is shown.
    pub board: Board,
    /// Cancelled to end it.
    pub stop: CancellationToken,
    /// Cancelled to end it at once.
    pub abort: CancellationToken,
    /// For asking whether it is ready.
    pub http: reqwest::Client,
}

impl Replica {
    /// Runs until `stop` is cancelled and its processes have ended: the program first, then its handler.
    pub async fn run(self) {
        let Some(sidecar) = &self.plan.sidecar else {
            self.keep_main(&self.plan.main).await;
            self.board.forget(&self.id);
            return;
        };
        let address = free_address().await;
        let stop_handler = CancellationToken::new();
        let handler = sidecar.listening(address);
        let keeping = self.keep("handler", &stop_handler, |_| handler.clone());
        let serving = async {
            if self.stop.run_until_cancelled(self.handler_answers(address)).await.is_some() {
                self.keep_main(&self.plan.main.with_handler_at(address)).await;
            }
            stop_handler.cancel();
        };
        tokio::join!(keeping, serving);
        self.board.forget(&self.id);
    }

    async fn keep_main(&self, main: &ProgramPlan) {
        self.keep("", &self.stop, |address| main.listening(address)).await;
    }

    /// Starts a program again and again, until `stop`.
    async fn keep(&self, part: &str, stop: &CancellationToken, plan: impl Fn(SocketAddr) -> ProgramPlan) {
        let mut pauses = pauses();
        while !stop.is_cancelled() {
            let (address, begun) = (free_address().await, Instant::now());
            let how = self.once(part, &plan(address), address, stop).await;
            let Some(how) = how else { return };
            if begun.elapsed() > GOOD_LIFE {
                pauses = self::pauses();
            }
            let pause = pauses.next().unwrap_or(GOOD_LIFE);
            tracing::warn!("{} ended ({how}); starting it again in {pause:.1?}", self.title(part));
            self.board.note_restart();
            let _ = stop.run_until_cancelled(tokio::time::sleep(pause)).await;
        }
    }

    /// One life of a program; says how it ended, or `None` when it was asked to.
    async fn once(&self, part: &str, plan: &ProgramPlan, at: SocketAddr, stop: &CancellationToken) -> Option<String> {
        let program = plan.resolve(&self.id.to_string());
        let mut process = match Process::start(&program, &self.title(part), &self.workspace) {
            Ok(process) => process,
            Err(error) => {
                let word = program.words.first().map_or("", String::as_str);
                return Some(format!("cannot start `{word}` in {}: {error}", program.directory.display()));
            }
        };
        let is_main = part.is_empty();
        if is_main {
            self.board.set(&self.id, ReplicaState::Starting);
        }
        let ended = tokio::select! {
            how = process.ended() => Some(how),
            () = self.show_readiness(at), if is_main => None,
            () = stop.cancelled() => None,
        };
        if ended.is_none() {
            // Out of the gateway's sight first, so that no new client meets a process that is about to end.
            self.board.set(&self.id, ReplicaState::Stopping);
            process.stop(self.plan.grace, &self.abort).await;
        } else if is_main {
            self.board.set(&self.id, ReplicaState::Down);
        }
        ended
    }

    /// Asks `/readyz` for as long as the process lives.
    async fn show_readiness(&self, address: SocketAddr) {
        let (url, begun, mut told) = (format!("http://{address}/readyz"), Instant::now(), false);
        loop {
            let answer = self.http.get(&url).timeout(Duration::from_secs(2)).send().await;
            let ready = answer.is_ok_and(|answer| answer.status().is_success());
            self.board.set(&self.id, if ready { ReplicaState::Ready(address) } else { ReplicaState::Starting });
            if !ready && !told && begun.elapsed() > SLOW {
                tracing::warn!("{} is not ready yet; http://{address}/readyz says why", self.id);
                told = true;
            }
            tokio::time::sleep(PROBE).await;
        }
    }

    async fn handler_answers(&self, address: SocketAddr) {
        let (begun, mut told) = (Instant::now(), false);
        while TcpStream::connect(address).await.is_err() {
            if !told && begun.elapsed() > SLOW {
                let port = address.port();
                tracing::warn!(
                    "{} does not listen on port {port} yet: it must take the port from the variable PORT",
                    self.title("handler")
                );
                told = true;
            }
            tokio::time::sleep(PROBE).await;
        }
    }

    fn title(&self, part: &str) -> String {
        if part.is_empty() { self.id.to_string() } else { format!("{} {part}", self.id) }
    }
}

/// An address that is free now. Should somebody take it before the process does, the process ends; Warren's own
/// program then gets another.
async fn free_address() -> SocketAddr {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    match TcpListener::bind(any).await.and_then(|listener| listener.local_addr()) {
        Ok(address) => address,
        Err(_) => any,
    }
}

/// 0.2 s, 0.4 s, … 10 s.
fn pauses() -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(200))
        .with_max_delay(Duration::from_secs(10))
        .without_max_times()
        .build()
}

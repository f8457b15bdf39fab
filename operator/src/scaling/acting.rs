//! One change at a time, and what became of it.

use super::{
    Scaled, Title,
    cordon::Cordon,
    fleet::{Change, FleetError},
    metrics::Metrics,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use warren_messaging::error_chain::Chain;

/// How long what was written counts more than what a watch shows, which comes a little later.
const SETTLE: Duration = Duration::from_secs(1);
/// After a failed change the next is made after this long, doubled each time up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(16);
/// The API server hangs.
const DEADLINE: Duration = Duration::from_secs(10);
/// It hangs while those that are to go take nothing, which they do for a few seconds only.
const SHRINK_DEADLINE: Duration = Duration::from_secs(5);

/// A change to be carried out.
pub struct Intent {
    /// Of what.
    pub scaled: Scaled,
    /// The change.
    pub change: Change,
    /// Where its idle workers can be spoken to, by name.
    pub addresses: BTreeMap<String, String>,
    /// Asks them to take nothing more.
    pub cordon: Arc<Cordon>,
    /// When it was decided.
    pub decided: Instant,
}

/// What is being changed, and what was.
#[derive(Default)]
pub struct Acting(Mutex<State>);

#[derive(Default)]
struct State {
    is_acting: bool,
    written: Option<(u32, Instant)>,
    failures: u32,
    /// What the last change failed with.
    trouble: Option<String>,
    not_before: Option<Instant>,
}

impl Acting {
    /// How many replicas are asked for at `now`, of which a watch says `shown`; `None` while nothing may be changed.
    pub fn replicas(&self, shown: u32, now: Instant) -> Option<u32> {
        let state = self.state();
        if state.is_acting || state.not_before.is_some_and(|at| now < at) {
            return None;
        }
        let written = state.written.filter(|(_, at)| now.duration_since(*at) < SETTLE);
        Some(written.map_or(shown, |(replicas, _)| replicas))
    }

    /// Why the last number could not be set, if it could not.
    pub fn trouble(&self) -> Option<String> {
        self.state().trouble.clone()
    }

    /// Takes note that the number is as it should be, whoever set it: a change without an answer may have come through.
    pub fn settle(&self) {
        self.state().trouble = None;
    }

    /// Carries a change out, and takes nothing else in hand until then.
    pub fn act(self: Arc<Self>, intent: Intent, metrics: Arc<Metrics>) -> impl Future<Output = ()> + Send {
        // From now on, not from when the task runs.
        self.state().is_acting = true;
        async move {
            let Intent { scaled, change, addresses, cordon, decided } = intent;
            let grows = change.to > change.from;
            let change = if grows { change } else { cordon.narrow(change, &addresses).await };
            let (from, to, because) = (change.from, change.to, change.because.clone());
            let Title { namespace, name: pipeline } = &scaled.title;
            tracing::debug!(namespace, pipeline, from, to, idle = ?change.idle, "to be set, ending none but these");
            if to == from {
                // Those that are idle have become busy; it is decided anew.
                return self.kept();
            }
            let deadline = if grows { DEADLINE } else { SHRINK_DEADLINE };
            let set = tokio::time::timeout(deadline, scaled.fleet.set(change)).await;
            match set.unwrap_or(Err(FleetError::Slow)) {
                Ok(done) => {
                    cordon.release(&addresses, &done.going).await;
                    if done.replicas == from {
                        return self.kept();
                    }
                    metrics.written(decided.elapsed());
                    tracing::info!(namespace, pipeline, from, to = done.replicas, "{because}");
                    self.done(Ok(done.replicas));
                }
                Err(error) => {
                    // Otherwise they may yet be ended, and hold as long as that may take.
                    if error.is_refusal() {
                        cordon.release(&addresses, &BTreeSet::new()).await;
                    }
                    let error = Chain(&error).to_string();
                    let pause = self.done(Err(error.clone()));
                    tracing::warn!(namespace, pipeline, from, to, ?pause, "{error}; trying again");
                }
            }
        }
    }

    /// Nothing was to be set after all, which says nothing about earlier attempts.
    fn kept(&self) {
        self.state().is_acting = false;
    }

    /// The pause until the next attempt.
    fn done(&self, set: Result<u32, String>) -> Duration {
        let (mut state, now) = (self.state(), Instant::now());
        state.is_acting = false;
        state.failures = if set.is_ok() { 0 } else { state.failures.saturating_add(1) };
        state.written = set.as_ref().ok().map(|replicas| (*replicas, now));
        state.trouble = set.err();
        let pause = match state.failures {
            0 => Duration::ZERO,
            failures => FIRST_PAUSE.saturating_mul(1 << (failures - 1).min(8)).min(LONGEST_PAUSE),
        };
        state.not_before = Some(now + pause);
        pause
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_is_told_until_the_number_is_set_or_right() {
        let acting = Acting::default();
        let refused = || Err("refused".to_owned());
        assert_eq!([refused(), refused(), refused()].map(|set| acting.done(set).as_secs()), [1, 2, 4]);
        assert_eq!(acting.trouble().as_deref(), Some("refused"));
        acting.settle();
        assert_eq!(acting.trouble(), None);
        acting.done(refused());
        acting.kept();
        assert_eq!(acting.trouble().as_deref(), Some("refused"));
        assert_eq!((acting.done(Ok(3)), acting.trouble()), (Duration::ZERO, None));
    }
}

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
/// What mostly passes by itself is told once it has lasted this long.
const PASSES: Duration = Duration::from_secs(30);
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
    /// Whether the last number that was written was a larger one.
    grew: Option<bool>,
    failures: u32,
    trouble: Option<Trouble>,
    pause: Option<Pause>,
}

/// What changes have failed with, and from when on that is told.
#[derive(Clone)]
struct Trouble {
    said: String,
    began: Instant,
    is_passing: bool,
}

/// What failed is not tried again before this; what could not shrink may grow all the same.
struct Pause {
    until: Instant,
    grows: bool,
}

impl Acting {
    /// How many replicas are asked for at `now`, of which a watch says `shown`; `None` while nothing may be changed.
    pub fn replicas(&self, shown: u32, now: Instant) -> Option<u32> {
        let state = self.state();
        if state.is_acting || state.pause.as_ref().is_some_and(|pause| pause.grows && now < pause.until) {
            return None;
        }
        let written = state.written.filter(|(_, at)| now.duration_since(*at) < SETTLE);
        Some(written.map_or(shown, |(replicas, _)| replicas))
    }

    /// Whether a smaller number may be tried at `now`.
    pub fn may_shrink(&self, now: Instant) -> bool {
        self.state().pause.as_ref().is_none_or(|pause| now >= pause.until)
    }

    /// Whether such a change is another movement than the last one that was carried out.
    pub fn turns(&self, grows: bool) -> bool {
        self.state().grew != Some(grows)
    }

    /// Why the number can, at `now`, not be set, if it cannot.
    pub fn trouble(&self, now: Instant) -> Option<String> {
        let trouble = self.state().trouble.clone()?;
        let is_told = !trouble.is_passing || now.duration_since(trouble.began) >= PASSES;
        is_told.then_some(trouble.said)
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
                self.state().is_acting = false;
                return;
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
                    self.written(done.replicas, grows, Instant::now());
                }
                Err(error) => {
                    // If in doubt they may yet be ended, and hold as long as that may take.
                    if !error.is_in_doubt() {
                        cordon.release(&addresses, &BTreeSet::new()).await;
                    }
                    let (said, before) = (Chain(&error).to_string(), self.said());
                    let pause = self.failed(&error, grows, Instant::now());
                    // Once per cause: what passes by itself is tried each second.
                    if before.as_ref() == Some(&said) {
                        tracing::debug!(namespace, pipeline, from, to, ?pause, "{said}; trying again");
                    } else {
                        tracing::warn!(namespace, pipeline, from, to, ?pause, "{said}; trying again");
                    }
                }
            }
        }
    }

    /// Nobody may go after all. That says nothing about a refusal, but nothing else stands in the way any more.
    fn kept(&self) {
        let mut state = self.state();
        state.is_acting = false;
        state.trouble.take_if(|trouble| trouble.is_passing);
    }

    /// What changes have failed with, told or not.
    fn said(&self) -> Option<String> {
        self.state().trouble.as_ref().map(|trouble| trouble.said.clone())
    }

    fn written(&self, replicas: u32, grew: bool, now: Instant) {
        let mut state = self.state();
        *state = State { written: Some((replicas, now)), grew: Some(grew), ..State::default() };
    }

    /// The pause until the next attempt.
    fn failed(&self, error: &FleetError, grows: bool, now: Instant) -> Duration {
        let mut state = self.state();
        if state.pause.as_ref().is_some_and(|pause| pause.grows != grows) {
            // What kept the number from shrinking does not keep it from growing.
            (state.failures, state.trouble) = (0, None);
        }
        let began = state.trouble.as_ref().map_or(now, |trouble| trouble.began);
        let pause = if error.is_passing() && now.duration_since(began) < PASSES {
            FIRST_PAUSE
        } else {
            FIRST_PAUSE.saturating_mul(1 << state.failures.min(8)).min(LONGEST_PAUSE)
        };
        state.is_acting = false;
        state.written = None;
        state.failures = state.failures.saturating_add(1);
        state.trouble = Some(Trouble { said: Chain(error).to_string(), began, is_passing: error.is_passing() });
        state.pause = Some(Pause { until: now + pause, grows });
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
        let (acting, now) = (Acting::default(), Instant::now());
        let refused = || acting.failed(&FleetError::Slow, true, now).as_secs();
        assert_eq!([refused(), refused(), refused()], [1, 2, 4]);
        assert!(acting.trouble(now).is_some_and(|said| said.contains("did not answer")));
        acting.settle();
        assert_eq!(acting.trouble(now), None);
        refused();
        acting.kept();
        assert!(acting.trouble(now).is_some());
        acting.written(3, true, now);
        assert_eq!((acting.trouble(now), refused()), (None, 1));
    }

    #[test]
    fn what_mostly_passes_by_itself_is_told_once_it_lasts() {
        let (acting, now) = (Acting::default(), Instant::now());
        acting.failed(&FleetError::Replacing, false, now);
        assert_eq!(acting.trouble(now + PASSES / 2), None);
        acting.failed(&FleetError::Unfinished, false, now + PASSES / 2);
        assert!(acting.trouble(now + PASSES).is_some_and(|said| said.contains("as it was told to")));
        acting.kept();
        assert_eq!(acting.trouble(now + PASSES), None);
    }

    #[test]
    fn what_could_not_shrink_may_grow_at_once() {
        let (acting, now) = (Acting::default(), Instant::now());
        acting.failed(&FleetError::Unnoted, false, now);
        assert_eq!((acting.replicas(3, now), acting.may_shrink(now)), (Some(3), false));
        assert!(acting.may_shrink(now + FIRST_PAUSE));
        acting.failed(&FleetError::Unnoted, false, now);
        assert_eq!(acting.failed(&FleetError::Slow, true, now), FIRST_PAUSE, "it is the first of its kind");
        assert_eq!((acting.replicas(3, now), acting.replicas(3, now + FIRST_PAUSE)), (None, Some(3)));
    }

    #[test]
    fn a_movement_begins_when_a_number_is_set_not_when_it_is_wanted() {
        let (acting, now) = (Acting::default(), Instant::now());
        acting.written(3, true, now);
        acting.failed(&FleetError::Unnoted, false, now);
        assert_eq!((acting.turns(true), acting.turns(false)), (false, true));
        acting.written(2, false, now);
        assert!(!acting.turns(false));
    }
}

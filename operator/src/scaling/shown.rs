//! What is told of the decisions on one pipeline: why the number changed last, or another reason for leaving it.

use std::time::{Duration, Instant};
use warren_scaling::Decision;

/// A broker that has much to do answers nothing for some seconds now and then. Nothing is scaled on it, but told of only if
/// it lasts: with a thousand pipelines each time would be a thousand statuses and Events.
pub const HICCUP: Duration = Duration::from_secs(10);

/// The decision that is told.
#[derive(Default)]
pub struct Shown {
    decision: Option<Decision>,
    blind: Option<Instant>,
}

impl Shown {
    /// Takes in what was decided at `now`, and whether it `changes` the number.
    pub fn take(&mut self, decision: Decision, changes: bool, now: Instant) {
        self.blind = decision.reason.is_blind().then(|| self.blind.unwrap_or(now));
        let is_hiccup = self.blind.is_some_and(|since| now.duration_since(since) < HICCUP);
        let told = self.decision.as_ref().is_some_and(|shown| shown.reason == decision.reason);
        if changes || !(told || is_hiccup) {
            self.decision = Some(decision);
        }
    }

    /// The decision, if there was one.
    #[must_use]
    pub fn decision(&self) -> Option<&Decision> {
        self.decision.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use warren_scaling::Reason::{self, BacklogUnknown, Idle, Steady};

    fn decision(reason: Reason, because: &str) -> Decision {
        Decision { replicas: 1, reason, because: because.into() }
    }

    fn told(shown: &Shown) -> &str {
        &shown.decision().expect("is told").because
    }

    #[test]
    fn the_same_reason_is_told_once_and_a_change_always() {
        let (mut shown, now) = (Shown::default(), Instant::now());
        shown.take(decision(Steady, "first"), false, now);
        shown.take(decision(Steady, "second"), false, now);
        assert_eq!(told(&shown), "first");
        shown.take(decision(Steady, "third"), true, now);
        assert_eq!(told(&shown), "third");
        shown.take(decision(Idle, "fourth"), false, now);
        assert_eq!(told(&shown), "fourth");
    }

    #[test]
    fn that_nothing_is_known_is_told_only_if_it_lasts() {
        let (mut shown, now) = (Shown::default(), Instant::now());
        let at = |seconds| now + Duration::from_secs(seconds);
        shown.take(decision(Idle, "known"), false, now);
        for second in [1, 9, 10] {
            shown.take(decision(BacklogUnknown, "unknown"), false, at(second));
        }
        assert_eq!(told(&shown), "known");
        shown.take(decision(BacklogUnknown, "unknown"), false, at(11));
        assert_eq!(told(&shown), "unknown");
        shown.take(decision(Idle, "known again"), false, at(12));
        shown.take(decision(BacklogUnknown, "unknown again"), false, at(13));
        assert_eq!(told(&shown), "known again", "each time counts anew");
        shown.take(decision(BacklogUnknown, "the fewest"), true, at(14));
        assert_eq!(told(&shown), "the fewest", "what changes the number is told at once");
    }
}

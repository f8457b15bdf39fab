//! What goes wrong when: drawn from a seed before anything runs, so that a campaign can be repeated.

use crate::kind::Kind;
use rand::{RngExt as _, SeedableRng as _, rngs::ChaCha8Rng, seq::SliceRandom as _};
use std::{fmt, time::Duration};

/// One thing that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Counted from 1.
    pub number: u32,
    /// What.
    pub kind: Kind,
    /// How long after the recovery from the one before.
    pub gap: Duration,
    /// How long it lasts, where that is not for Warren to say.
    pub hold: Duration,
    /// Which of several processes, nodes or queues it strikes: the remainder counts.
    pub pick: u32,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, kind, gap, hold, pick } = self;
        write!(f, "{number:>4}  +{:<6} {kind:<16} for {:<7} pick {pick}", format!("{gap:?}"), format!("{hold:?}"))
    }
}

/// `count` faults of these kinds: each kind at least once where there is room, then by weight.
#[must_use]
pub fn draw(seed: u64, count: u32, kinds: &[Kind]) -> Vec<Fault> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let wanted = usize::try_from(count).unwrap_or(usize::MAX);
    let mut drawn: Vec<Kind> = kinds.to_vec();
    drawn.shuffle(&mut rng);
    drawn.truncate(wanted);
    while drawn.len() < wanted && !kinds.is_empty() {
        let room =
            |kind: &Kind| kind.most_of(wanted).is_none_or(|most| drawn.iter().filter(|k| *k == kind).count() < most);
        let open: Vec<Kind> = kinds.iter().copied().filter(room).collect();
        let Some(kind) = weighted(&mut rng, &open) else { break };
        drawn.push(kind);
    }
    drawn.shuffle(&mut rng);
    (1..).zip(drawn).map(|(number, kind)| fault(&mut rng, number, kind)).collect()
}

fn weighted(rng: &mut ChaCha8Rng, kinds: &[Kind]) -> Option<Kind> {
    let total: u32 = kinds.iter().map(|kind| kind.weight()).sum();
    let mut left = if total > 0 { rng.random_range(0..total) } else { return None };
    kinds.iter().copied().find(|kind| {
        let found = left < kind.weight();
        left = left.saturating_sub(kind.weight());
        found
    })
}

fn fault(rng: &mut ChaCha8Rng, number: u32, kind: Kind) -> Fault {
    let gap = Duration::from_millis(rng.random_range(200..1500));
    let (shortest, longest) = kind.hold();
    let long = kind.may_be_long() && rng.random_ratio(1, 8);
    let drawn = Duration::from_millis(rng.random_range(shortest..=longest));
    let hold = if long { Duration::from_secs(20) } else { drawn };
    Fault { number, kind, gap, hold, pick: rng.random_range(0..60) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_schedule_and_another_another() {
        assert_eq!(draw(7, 200, &Kind::ALL), draw(7, 200, &Kind::ALL));
        assert_ne!(draw(7, 200, &Kind::ALL), draw(8, 200, &Kind::ALL));
    }

    #[test]
    fn every_kind_comes_at_least_once_and_queues_are_rarely_deleted() {
        for seed in 0..50 {
            let faults = draw(seed, 200, &Kind::ALL);
            assert_eq!(faults.len(), 200);
            let of = |kind: Kind| faults.iter().filter(|fault| fault.kind == kind).count();
            assert!(Kind::ALL.into_iter().all(|kind| of(kind) > 0), "{faults:?}");
            assert!(of(Kind::DeleteQueue) <= 4, "{faults:?}");
        }
    }
}

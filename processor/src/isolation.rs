//! In which order to run deliveries of which one may kill the worker.
//!
//! A request that comes back again and again may be what kills its workers, and every request that is prefetched
//! beside it comes back as often. So once one has come back twice, nothing more is prefetched, and what is held
//! is run in an order that lets the innocent get away: first those that never were near a crash; then each
//! suspect alone, those that came back less often first. Equal ones go in random order: in a fixed order the
//! same innocent would stand behind the same poison each time, until the broker gives up on both.

use std::hash::{BuildHasher as _, RandomState};

/// Puts deliveries into the order in which to run them, by how often each came back.
pub(crate) fn order<T>(mut held: Vec<T>, came_back: impl Fn(&T) -> u32) -> Vec<T> {
    let chance = RandomState::new();
    let mut place = 0_u32;
    held.sort_by_cached_key(|delivery| {
        place += 1;
        (came_back(delivery), chance.hash_one(place))
    });
    held
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone)]
    struct Held {
        came_back: u32,
        poison: bool,
    }

    /// Plays one poison among innocents, all prefetched together, through to its end. Returns how many innocents
    /// were given up with it.
    fn innocents_lost(innocents: usize, limit: u32) -> usize {
        let mut held = vec![Held { came_back: 0, poison: false }; innocents];
        held.push(Held { came_back: 0, poison: true });
        let mut lost = 0;
        while held.iter().any(|delivery| delivery.poison) {
            held = order(held, |delivery| delivery.came_back);
            let poison = held.iter().position(|delivery| delivery.poison).unwrap_or(0);
            if held[poison].came_back >= 2 {
                // Alone, one after the other: those before the poison are done.
                held.drain(..poison);
            }
            held.iter_mut().for_each(|delivery| delivery.came_back += 1);
            let before = held.len();
            held.retain(|delivery| delivery.came_back <= limit || delivery.poison);
            lost += before - held.len();
            held.retain(|delivery| delivery.came_back <= limit);
        }
        lost
    }

    #[test]
    fn before_the_broker_gives_up_on_poison_the_innocent_got_away() {
        // One of them stays behind the poison 19 times in a row with a chance of 2^-19.
        let lost: usize = (0..20).map(|_| innocents_lost(50, 20)).sum();
        assert!(lost <= 2, "{lost} of 1000");
    }

    #[test]
    fn those_that_came_back_less_often_go_first() {
        assert_eq!(order(vec![3, 0, 2, 1], |count| *count), [0, 1, 2, 3]);
    }
}

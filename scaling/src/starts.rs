//! How fast replicas may be added: in waves, each twice the one before.
//!
//! Thirty replicas that start at once on a small node delay each other: measured on 2 cores, the first was at work after
//! 7 s, alone after 1 s. On a large cluster they would all be there after 1 s, and waiting for one another would be the
//! mistake. Which of the two it is shows in how long starting takes: [`Starts`] measures it per replica, asks for the
//! next wave as soon as the last has arrived (or after [`STEP`], when nothing is overdue), stops adding while some are
//! overdue, and remembers how large a wave arrived without delay, so that the next burst begins with that one.

use crate::Observation;
use std::{
    collections::{HashSet, VecDeque},
    time::Duration,
};

/// The first wave of a pipeline of which nothing is known.
pub const FIRST_WAVE: u32 = 2;
/// A wave that is on its way holds the next one back for this long, as long as nothing is overdue.
pub const STEP: Duration = Duration::from_secs(1);
/// What is overdue holds the next wave back for this long: it may never come, for want of room or of an image.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// How long starting is assumed to take before the first one was measured.
pub const START_GUESS: Duration = Duration::from_secs(2);
/// A start is in time up to this multiple of the quickest, and [`SLACK`].
const IN_TIME: f64 = 1.5;
/// What a report may be late.
const SLACK: Duration = Duration::from_millis(250);
/// After this much quiet a wave is the first of a new burst.
const NEW_BURST: Duration = Duration::from_secs(10);
/// The quickest start is forgotten by this factor with each one, so that an image that got slower is learned.
const FORGET: f64 = 1.02;
const LARGEST_WAVE: u32 = 1000;
/// No more than these are remembered as on their way: a few waves of the largest.
const MOST_STARTING: usize = 10_000;
/// A replica that was asked for this long ago and was not heard of since has no room, or no image: most take seconds.
const STUCK: Duration = Duration::from_secs(30);

/// What is known of how replicas start.
#[derive(Clone, Debug)]
pub struct Starts {
    /// Workers that have reported.
    known: HashSet<String>,
    /// Replicas that have not reported yet, oldest first.
    asked: VecDeque<Asked>,
    /// Replicas as they were last asked for, once that was seen.
    replicas: Option<u32>,
    last_wave: Option<Duration>,
    /// Size of the next wave.
    wave: u32,
    /// How many of the last wave were not needed when it began.
    left: u32,
    /// The largest number on its way at once that arrived in time.
    fluent: u32,
    /// How many are in the wave that is on its way, and whether one of them came late.
    on_its_way: u32,
    late: bool,
    quickest: Option<Duration>,
}

/// A replica that has not reported yet.
#[derive(Clone, Copy, Debug)]
struct Asked {
    /// When it was asked for, or first seen.
    at: Duration,
    /// Whether it was seen to be asked for. One that was there before may report at once, and teaches nothing.
    is_new: bool,
}

impl Default for Starts {
    fn default() -> Self {
        Self {
            known: HashSet::new(),
            asked: VecDeque::new(),
            replicas: None,
            last_wave: None,
            wave: FIRST_WAVE,
            left: 0,
            fluent: FIRST_WAVE,
            on_its_way: 0,
            late: false,
            quickest: None,
        }
    }
}

impl Starts {
    /// Takes an observation in: who has arrived, and how many are asked for.
    pub fn learn(&mut self, seen: &Observation) {
        let live = seen.workers.iter().filter(|worker| !worker.draining);
        let arrived = live.filter(|worker| !self.known.contains(&worker.name)).count();
        self.known = seen.workers.iter().map(|worker| worker.name.clone()).collect();
        self.follow(seen.replicas, seen.at);
        for _ in 0..arrived {
            self.arrive(seen.at);
        }
        // Never more than can still come: a replica that died and came back was not asked for again.
        let missing = usize::try_from(seen.replicas.saturating_sub(seen.live())).unwrap_or(usize::MAX);
        while self.asked.len() > missing {
            self.asked.pop_front();
        }
        if self.asked.is_empty() {
            self.end_wave();
        }
        if self.asked.is_empty() && self.last_wave.is_none_or(|last| seen.at.saturating_sub(last) > NEW_BURST) {
            self.wave = self.fluent;
        }
    }

    /// Takes note that `replicas` are asked for from `at` on.
    pub fn follow(&mut self, replicas: u32, at: Duration) {
        let is_new = self.replicas.is_some();
        let added = replicas.saturating_sub(self.replicas.unwrap_or(0)) as usize;
        // Somebody else may ask for millions.
        let room = MOST_STARTING.saturating_sub(self.asked.len());
        self.asked.extend(std::iter::repeat_n(Asked { at, is_new }, added.min(room)));
        // Whether those that went had arrived shows at the next look.
        self.asked.drain(..self.asked.len().saturating_sub(replicas as usize));
        self.replicas = Some(replicas);
    }

    /// How many may be added now: a new wave, or what is left of the last.
    #[must_use]
    pub fn room(&self, at: Duration) -> u32 {
        if self.is_open(at) { self.wave } else { self.left }
    }

    fn is_open(&self, at: Duration) -> bool {
        let since = self.last_wave.map_or(Duration::MAX, |last| at.saturating_sub(last));
        (self.asked.is_empty() && !since.is_zero()) || since >= PATIENCE || (since >= STEP && !self.overdue(at))
    }

    /// Takes note that `size` were asked for at `at`, beyond what there is room for only where the user wants them.
    pub fn add(&mut self, size: u32, at: Duration) {
        if self.is_open(at) {
            (self.left, self.last_wave) = (self.wave, Some(at));
        }
        self.left = self.left.saturating_sub(size);
        if self.left == 0 {
            self.wave = self.wave.saturating_mul(2).min(LARGEST_WAVE);
        }
        self.follow(self.replicas.unwrap_or(0).saturating_add(size), at);
        self.on_its_way = count(self.asked.iter().filter(|asked| asked.is_new));
    }

    /// How long a replica takes from being asked for to its first report.
    #[must_use]
    pub fn start_time(&self) -> Duration {
        self.quickest.unwrap_or(START_GUESS)
    }

    /// How many have not arrived yet.
    #[must_use]
    pub fn starting(&self) -> usize {
        self.asked.len()
    }

    /// How many of those may arrive any moment, and have work before they are heard of.
    #[must_use]
    pub fn arriving(&self, at: Duration) -> u32 {
        count(self.asked.iter().filter(|asked| at.saturating_sub(asked.at) < STUCK))
    }

    fn arrive(&mut self, at: Duration) {
        let Some(asked) = self.asked.pop_front().filter(|asked| asked.is_new) else { return };
        let took = at.saturating_sub(asked.at);
        self.late |= self.quickest.is_some_and(|quickest| took > in_time(quickest));
        let remembered = self.quickest.map_or(took, |quickest| quickest.mul_f64(FORGET));
        self.quickest = Some(remembered.min(took));
    }

    fn end_wave(&mut self) {
        if self.on_its_way > 0 {
            self.fluent = if self.late {
                self.fluent.min(self.on_its_way / 2).max(FIRST_WAVE)
            } else {
                self.fluent.max(self.on_its_way)
            };
        }
        (self.on_its_way, self.late) = (0, false);
    }

    fn overdue(&self, at: Duration) -> bool {
        let oldest = self.asked.iter().find(|asked| asked.is_new).map(|asked| at.saturating_sub(asked.at));
        oldest.zip(self.quickest).is_some_and(|(age, quickest)| age > in_time(quickest))
    }
}

fn count<'a>(asked: impl Iterator<Item = &'a Asked>) -> u32 {
    u32::try_from(asked.count()).unwrap_or(u32::MAX)
}

fn in_time(quickest: Duration) -> Duration {
    quickest.mul_f64(IN_TIME) + SLACK
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Worker;

    /// A world in which `cores` replicas start at a time, each in `alone` seconds, and the others wait.
    fn ramp(starts: &mut Starts, begin: f64, wanted: u32, cores: usize, alone: f64) -> (f64, f64) {
        let (mut now, mut replicas, mut left, mut done) = (begin, 0_u32, Vec::<f64>::new(), 0_u32);
        let (mut first, step) = (None, 0.05);
        while done < wanted {
            let workers = (0..done).map(|n| Worker { name: format!("{begin}-{n}"), ..Worker::default() }).collect();
            let at = Duration::from_secs_f64(now);
            starts.learn(&Observation { at, replicas, ready: done, workers, ..Observation::default() });
            let room = starts.room(at).min(wanted - replicas);
            if room > 0 {
                starts.add(room, at);
                replicas += room;
                left.extend((0..room).map(|_| alone));
            }
            let share = step * (cores as f64 / left.len().max(1) as f64).min(1.0);
            left.iter_mut().for_each(|left| *left -= share);
            let before = left.len();
            left.retain(|left| *left > 0.0);
            done += u32::try_from(before - left.len()).expect("few");
            now += step;
            if done > 0 {
                first.get_or_insert(now - begin);
            }
        }
        (first.expect("one came"), now - begin)
    }

    #[test]
    fn on_a_small_node_the_first_is_soon_at_work_and_all_of_them_no_later() {
        let (first, all) = ramp(&mut Starts::default(), 0.0, 30, 2, 0.5);
        assert!(first < 0.7, "alone it takes 0.5 s, not {first}");
        assert!(all < 9.5, "the node can start 4 per second: 7.5 s, not {all}");
    }

    #[test]
    fn on_a_large_cluster_it_soon_asks_for_all_at_once() {
        let mut starts = Starts::default();
        let (_, first_time) = ramp(&mut starts, 0.0, 30, 1000, 1.0);
        assert!(first_time < 4.5, "four waves at most one after the other, not {first_time}");
        let mut later = first_time;
        for _ in 0..3 {
            starts.learn(&Observation { at: Duration::from_secs_f64(later + 60.0), ..Observation::default() });
            let (_, took) = ramp(&mut starts, later + 60.0, 30, 1000, 1.0);
            later += 60.0 + took;
            assert!(took < 2.2, "it has seen that nothing slows down, yet took {took}");
        }
    }

    #[test]
    fn whoever_was_there_before_the_first_look_may_arrive_any_moment_and_teaches_nothing() {
        let mut starts = Starts::default();
        let seen = |second, replicas, workers: &[&str]| Observation {
            at: Duration::from_secs(second),
            replicas,
            workers: workers.iter().map(|name| Worker { name: (*name).into(), ..Worker::default() }).collect(),
            ..Observation::default()
        };
        starts.learn(&seen(10, 2, &[]));
        assert_eq!(starts.arriving(Duration::from_secs(10)), 2);
        starts.learn(&seen(11, 2, &["a", "b"]));
        assert_eq!((starts.starting(), starts.start_time()), (0, START_GUESS));
        starts.learn(&seen(12, 3, &["a", "b"]));
        starts.learn(&seen(15, 3, &["a", "b", "c"]));
        assert_eq!(starts.start_time(), Duration::from_secs(3));
    }

    #[test]
    fn a_number_beyond_all_measure_takes_no_room() {
        let mut starts = Starts::default();
        for replicas in [0, u32::MAX, 3, 10_000_000] {
            starts.learn(&Observation { at: Duration::from_secs(1), replicas, ..Observation::default() });
            assert!(starts.starting() <= MOST_STARTING, "{}", starts.starting());
        }
        starts.add(u32::MAX, Duration::from_secs(2));
        assert!(starts.starting() <= MOST_STARTING, "{}", starts.starting());
    }

    #[test]
    fn replicas_that_never_come_do_not_hold_the_others_back_for_good() {
        let (mut starts, mut replicas) = (Starts::default(), 0);
        for second in 0..60 {
            let at = Duration::from_secs(second);
            starts.learn(&Observation { at, replicas, ..Observation::default() });
            let room = starts.room(at);
            starts.add(room, at);
            replicas += room;
        }
        assert!(replicas > 500, "{replicas}");
    }
}

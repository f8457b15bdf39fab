//! What the world brings: when requests come, how long they take, how often they fail.

use rand::{RngExt as _, SeedableRng as _, rngs::ChaCha8Rng};
use rand_distr::{Distribution as _, Exp1, LogNormal};
use std::time::Duration;

/// Retry delays as a pipeline has them by default: 1 s, times 4, five attempts.
pub const RETRY_DELAYS: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(4), Duration::from_secs(16), Duration::from_secs(64)];

/// When the first request may come: a while after the beginning, so that the oracle can start Pods before it.
pub const LEAD: Duration = Duration::from_secs(10);

/// A request.
#[derive(Clone, Copy, Debug)]
pub struct Message {
    /// When it is submitted.
    pub at: Duration,
    /// How long each attempt takes.
    pub service: Duration,
    /// How many attempts fail before one succeeds; with more than there are retries it ends as a dead letter.
    pub failures: usize,
}

/// A load.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// In the order of their submits.
    pub messages: Vec<Message>,
    /// When a Pod at work vanishes.
    pub crashes: Vec<Duration>,
}

impl Trace {
    /// When the first request is submitted.
    pub fn begin(&self) -> Duration {
        self.messages.first().map_or(Duration::ZERO, |message| message.at)
    }
}

/// A kind of load, drawn anew from each seed.
pub struct Kind {
    /// In one word or two.
    pub name: &'static str,
    /// In one sentence.
    pub about: &'static str,
    make: fn(&mut ChaCha8Rng) -> Trace,
}

impl Kind {
    /// The load that `seed` draws.
    pub fn draw(&self, seed: u64) -> Trace {
        let mut trace = (self.make)(&mut ChaCha8Rng::seed_from_u64(seed));
        trace.messages.iter_mut().for_each(|message| message.at += LEAD);
        trace.crashes.iter_mut().for_each(|at| *at += LEAD);
        trace.messages.sort_by_key(|message| message.at);
        trace
    }
}

/// Every kind of load.
pub const KINDS: [Kind; 9] = [
    Kind { name: "burst", about: "300 requests of 1 s within half a second, from zero", make: burst },
    Kind {
        name: "step",
        about: "2 per second, after a minute 12, after four more minutes 2 again; 1 s each",
        make: step,
    },
    Kind { name: "ramp", about: "from 0 to 20 per second within five minutes, then nothing; 1 s each", make: ramp },
    Kind { name: "diurnal", about: "two days of ten minutes: 0 to 16 per second as a sine; 1 s each", make: diurnal },
    Kind {
        name: "heavy tail",
        about: "2 per second for six minutes; median 1 s, one in a hundred over 30 s",
        make: heavy_tail,
    },
    Kind { name: "on and off", about: "six times 20 s with 10 per second and 40 s with none; 1 s each", make: on_off },
    Kind { name: "drip", about: "one request of 2 s every minute or so, for twenty minutes", make: drip },
    Kind {
        name: "poison",
        about: "1 per second for five minutes, 200 more at once; one in five fails 1 to 5 times",
        make: poison,
    },
    Kind {
        name: "crashes",
        about: "6 per second for five minutes, 3 s each; a Pod vanishes every 20 s",
        make: crashes,
    },
];

fn burst(rng: &mut ChaCha8Rng) -> Trace {
    at_once(300, rng, |_| 1.0).into()
}

fn step(rng: &mut ChaCha8Rng) -> Trace {
    let rate = |at: f64| if (60.0..300.0).contains(&at) { 12.0 } else { 2.0 };
    arrivals(360.0, 12.0, rate, rng, exponential(1.0)).into()
}

fn ramp(rng: &mut ChaCha8Rng) -> Trace {
    arrivals(300.0, 20.0, |at| at / 15.0, rng, exponential(1.0)).into()
}

fn diurnal(rng: &mut ChaCha8Rng) -> Trace {
    let rate = |at: f64| 8.0 - 8.0 * (at / 600.0 * std::f64::consts::TAU).cos();
    arrivals(1200.0, 16.0, rate, rng, exponential(1.0)).into()
}

fn heavy_tail(rng: &mut ChaCha8Rng) -> Trace {
    let times = LogNormal::new(0.0, 1.5).expect("a standard deviation above zero");
    arrivals(360.0, 2.0, |_| 2.0, rng, move |rng| times.sample(rng)).into()
}

fn on_off(rng: &mut ChaCha8Rng) -> Trace {
    arrivals(360.0, 10.0, |at| if at % 60.0 < 20.0 { 10.0 } else { 0.0 }, rng, exponential(1.0)).into()
}

fn drip(rng: &mut ChaCha8Rng) -> Trace {
    arrivals(1200.0, 1.0 / 60.0, |_| 1.0 / 60.0, rng, |_| 2.0).into()
}

fn poison(rng: &mut ChaCha8Rng) -> Trace {
    let mut messages = arrivals(300.0, 1.0, |_| 1.0, rng, exponential(1.0));
    messages.extend(at_once(200, rng, exponential(1.0)).into_iter().map(|mut message| {
        message.at += Duration::from_secs(100);
        message
    }));
    for message in &mut messages {
        if rng.random_bool(0.2) {
            message.failures = rng.random_range(1..=5);
        }
    }
    messages.into()
}

fn crashes(rng: &mut ChaCha8Rng) -> Trace {
    let messages = arrivals(300.0, 6.0, |_| 6.0, rng, exponential(3.0));
    Trace { messages, crashes: (1..15).map(|n| Duration::from_secs(20 * n)).collect() }
}

impl From<Vec<Message>> for Trace {
    fn from(messages: Vec<Message>) -> Self {
        Self { messages, crashes: Vec::new() }
    }
}

fn at_once(count: u32, rng: &mut ChaCha8Rng, service: impl Fn(&mut ChaCha8Rng) -> f64) -> Vec<Message> {
    (0..count).map(|n| message(f64::from(n) / f64::from(count) / 2.0, service(rng))).collect()
}

/// A Poisson process whose rate changes: of one at `most` per second, each request stays with the chance `rate / most`.
fn arrivals(
    until: f64,
    most: f64,
    rate: impl Fn(f64) -> f64,
    rng: &mut ChaCha8Rng,
    service: impl Fn(&mut ChaCha8Rng) -> f64,
) -> Vec<Message> {
    let (mut at, mut messages) = (0.0, Vec::new());
    loop {
        let gap: f64 = Exp1.sample(rng);
        at += gap / most;
        if at >= until {
            return messages;
        }
        if rng.random_bool((rate(at) / most).clamp(0.0, 1.0)) {
            messages.push(message(at, service(rng)));
        }
    }
}

fn message(at: f64, service: f64) -> Message {
    // A handler that takes no time at all would be no work.
    let service = Duration::from_secs_f64(service.max(0.01));
    Message { at: Duration::from_secs_f64(at), service, failures: 0 }
}

fn exponential(mean: f64) -> impl Fn(&mut ChaCha8Rng) -> f64 {
    move |rng| {
        let unit: f64 = Exp1.sample(rng);
        unit * mean
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_always_draws_the_same_load() {
        for kind in &KINDS {
            let [one, same, other] = [1, 1, 2].map(|seed| format!("{:?}", kind.draw(seed)));
            assert_eq!(one, same, "{}", kind.name);
            assert!(one != other || kind.name == "burst", "{}", kind.name);
        }
    }

    #[test]
    fn arrivals_keep_the_rate_that_was_asked_for() {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let messages = arrivals(1000.0, 20.0, |at| if at < 500.0 { 4.0 } else { 16.0 }, &mut rng, exponential(2.0));
        let early = messages.iter().filter(|message| message.at.as_secs() < 500).count();
        assert!((1800..2200).contains(&early), "{early}");
        assert!((9500..10500).contains(&messages.len()), "{}", messages.len());
        let mean = messages.iter().map(|message| message.service.as_secs_f64()).sum::<f64>() / messages.len() as f64;
        assert!((1.9..2.1).contains(&mean), "{mean}");
    }
}

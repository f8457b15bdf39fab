//! What the rounds of one measurement came to, Warren's beside the limit's.

use crate::{
    load::Measured,
    spread::{median, range},
    usage::Cpu,
};

/// Warren and the limit, measured one after the other.
pub struct Round {
    /// Warren.
    pub warren: Measured,
    /// The bare client.
    pub bare: Measured,
}

/// All rounds at one number of connections, or at one concurrency.
pub struct Outcome {
    /// That number.
    pub many: u16,
    /// At least one.
    pub rounds: Vec<Round>,
}

impl Outcome {
    /// Warren's rate as a part of the limit's: in the median, at least, at most.
    pub fn ratio(&self) -> (f64, f64, f64) {
        let ratios = || self.rounds.iter().map(|round| round.warren.per_second / round.bare.per_second);
        let (least, most) = range(ratios());
        (median(ratios()), least, most)
    }

    /// The median of a figure of Warren's.
    pub fn warren(&self, figure: impl Fn(&Measured) -> f64) -> f64 {
        median(self.rounds.iter().map(|round| figure(&round.warren)))
    }

    /// The median of a figure of the limit's.
    pub fn bare(&self, figure: impl Fn(&Measured) -> f64) -> f64 {
        median(self.rounds.iter().map(|round| figure(&round.bare)))
    }

    /// How many cores other programs kept busy meanwhile, in the median.
    pub fn others(&self) -> f64 {
        let both = self.rounds.iter().flat_map(|round| [&round.warren, &round.bare]);
        median(both.map(|measured| measured.cpu.others() * measured.per_second / 1000.0))
    }

    /// CPU milliseconds per 1000: Warren's program, its client and its broker, the bare client and its broker.
    pub fn cpu(&self) -> [f64; 5] {
        let warren = |part: fn(&Cpu) -> f64| self.warren(|measured| part(&measured.cpu) * 1000.0);
        let bare = |part: fn(&Cpu) -> f64| self.bare(|measured| part(&measured.cpu) * 1000.0);
        [
            warren(|cpu| cpu.program),
            warren(|cpu| cpu.bench),
            warren(|cpu| cpu.broker),
            bare(|cpu| cpu.bench),
            bare(|cpu| cpu.broker),
        ]
    }
}

//! Who competes, and how they do.

use crate::{
    cluster::Cluster,
    oracle,
    record::Record,
    scaler::{Scaler, keda, keda::Keda, warren::Warren},
    summary::Summary,
    trace::Kind,
    world,
};
use std::time::Duration;
use warren_scaling::Target;

/// What calls for one replica more, for those that go by the backlog: Warren's default.
pub const PER_REPLICA: u32 = 10;

/// A competitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contender {
    /// Warren, as a pipeline has it by default.
    Warren,
    /// Warren with `drainSeconds: 30`.
    Drain,
    /// KEDA with the settings that make it as quick as it gets.
    Tuned,
    /// KEDA with its defaults.
    Default,
    /// One who knows the future.
    Oracle,
}

impl Contender {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Warren, Self::Drain, Self::Tuned, Self::Default, Self::Oracle];

    /// As tables and plots call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Warren => "Warren",
            Self::Drain => "Warren, drainSeconds",
            Self::Tuned => "KEDA, tuned",
            Self::Default => "KEDA, default",
            Self::Oracle => "oracle",
        }
    }

    /// One run of each of `seeds` draws of `kind`.
    pub fn compete(self, kind: &Kind, cluster: Cluster, seeds: u32) -> Vec<Record> {
        let one = |seed: u32| {
            let trace = kind.draw(seed.into());
            match self.scaler(PER_REPLICA, phases(seed, seeds)) {
                Some(scaler) => world::run(&trace, cluster, 1, scaler, seed.into()),
                None => oracle::run(&trace, cluster),
            }
        };
        (0..seeds).map(one).collect()
    }

    /// The scaler, with one replica per `value` requests and clocks at `phases` of their intervals. The oracle is none.
    pub fn scaler(self, value: u32, phases: [f64; 2]) -> Option<Box<dyn Scaler>> {
        let phase = Duration::from_secs_f64(phases[0]);
        Some(match self {
            Self::Warren => Box::new(Warren::new(Target::BacklogPerReplica(value), phase)),
            Self::Drain => Box::new(Warren::new(Target::DrainWithin(Duration::from_secs(30)), phase)),
            Self::Tuned => Box::new(Keda::new(keda::TUNED, value, phases)),
            Self::Default => Box::new(Keda::new(keda::DEFAULT, value, phases)),
            Self::Oracle => return None,
        })
    }
}

/// All contenders' runs of one load, and what they come to.
pub struct Contest {
    /// The load.
    pub kind: &'static Kind,
    /// In the order of [`Contender::ALL`].
    pub runs: Vec<(Contender, Vec<Record>, Summary)>,
}

impl Contest {
    /// Has all contenders run `kind`.
    pub fn hold(kind: &'static Kind, cluster: Cluster, seeds: u32) -> Self {
        let run = |contender: Contender| {
            let records = contender.compete(kind, cluster, seeds);
            let summary = Summary::of(&records);
            (contender, records, summary)
        };
        Self { kind, runs: Contender::ALL.map(run).into() }
    }

    /// How one of them did.
    pub fn of(&self, contender: Contender) -> &Summary {
        let found = self.runs.iter().find(|(other, ..)| *other == contender);
        &found.unwrap_or(&self.runs[0]).2
    }
}

/// Where the two clocks of a scaler stand in run `seed`: evenly spread over all runs, and independent of each other.
pub fn phases(seed: u32, seeds: u32) -> [f64; 2] {
    let golden = 0.618_033_988_75;
    [(f64::from(seed) + 0.5) / f64::from(seeds), (f64::from(seed) * golden + 0.3).fract()]
}

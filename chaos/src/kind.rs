//! The kinds of faults.

use std::{fmt, str::FromStr};

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// kill -9 of the web service.
    KillWeb,
    /// kill -9 of a processor.
    KillProcessor,
    /// kill -9 of a user's handler.
    KillHandler,
    /// kill -9 of a broker node.
    KillBroker,
    /// SIGSTOP of the web service.
    PauseWeb,
    /// SIGSTOP of a processor.
    PauseProcessor,
    /// SIGSTOP of a broker node.
    PauseBroker,
    /// All connections to the broker are reset, and refused for a while.
    Cut,
    /// Packets vanish both ways, and nobody hears of it.
    Swallow,
    /// What Warren sends vanishes; it still hears the broker.
    HalfOpen,
    /// Every packet takes long.
    Slow,
    /// No space on the store's disk.
    DiskFull,
    /// Somebody else holds the store's lock.
    StoreLocked,
    /// kill -9 of the store's server.
    KillStore,
    /// All connections to the store's server are reset, and refused for a while.
    CutStore,
    /// The broker is short of memory and takes nothing in.
    MemoryAlarm,
    /// Somebody deletes a queue, with what is in it.
    DeleteQueue,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::KillWeb,
        Self::KillProcessor,
        Self::KillHandler,
        Self::KillBroker,
        Self::PauseWeb,
        Self::PauseProcessor,
        Self::PauseBroker,
        Self::Cut,
        Self::Swallow,
        Self::HalfOpen,
        Self::Slow,
        Self::DiskFull,
        Self::StoreLocked,
        Self::KillStore,
        Self::CutStore,
        Self::MemoryAlarm,
        Self::DeleteQueue,
    ];

    /// Its name on the command line and in the report.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::KillWeb => "kill-web",
            Self::KillProcessor => "kill-processor",
            Self::KillHandler => "kill-handler",
            Self::KillBroker => "kill-broker",
            Self::PauseWeb => "pause-web",
            Self::PauseProcessor => "pause-processor",
            Self::PauseBroker => "pause-broker",
            Self::Cut => "cut",
            Self::Swallow => "swallow",
            Self::HalfOpen => "half-open",
            Self::Slow => "slow",
            Self::DiskFull => "disk-full",
            Self::StoreLocked => "store-locked",
            Self::KillStore => "kill-store",
            Self::CutStore => "cut-store",
            Self::MemoryAlarm => "memory-alarm",
            Self::DeleteQueue => "delete-queue",
        }
    }

    /// How often it comes, beside the others.
    #[must_use]
    pub(crate) fn weight(self) -> u32 {
        match self {
            Self::KillWeb | Self::KillProcessor => 5,
            Self::KillHandler | Self::Cut => 4,
            Self::KillBroker | Self::StoreLocked | Self::KillStore | Self::CutStore => 3,
            Self::Slow | Self::DiskFull | Self::MemoryAlarm | Self::DeleteQueue => 2,
            Self::PauseWeb | Self::PauseProcessor | Self::PauseBroker | Self::Swallow | Self::HalfOpen => 1,
        }
    }

    /// How many of so many faults it may be at most.
    pub(crate) fn most_of(self, faults: usize) -> Option<usize> {
        (self == Self::DeleteQueue).then(|| (faults / 50).max(1))
    }

    /// How long it lasts, in milliseconds from and to; 0 where Warren or the system heals it.
    pub(crate) fn hold(self) -> (u64, u64) {
        match self {
            Self::KillWeb | Self::KillProcessor | Self::KillHandler | Self::DeleteQueue => (0, 0),
            Self::KillBroker | Self::KillStore => (0, 2000),
            Self::Cut | Self::CutStore => (100, 3000),
            Self::PauseWeb | Self::PauseProcessor | Self::PauseBroker => (2000, 8000),
            Self::Swallow | Self::HalfOpen => (2000, 10_000),
            Self::Slow => (2000, 6000),
            Self::DiskFull | Self::MemoryAlarm => (1000, 5000),
            Self::StoreLocked => (500, 8000),
        }
    }

    /// Whether one in eight lasts 20 s: longer than any heartbeat or timeout in the way.
    pub(crate) fn may_be_long(self) -> bool {
        use Kind::{HalfOpen, PauseBroker, PauseProcessor, PauseWeb, StoreLocked, Swallow};
        matches!(self, PauseWeb | PauseProcessor | PauseBroker | Swallow | HalfOpen | StoreLocked)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let names = Self::ALL.map(Self::name).join(", ");
        Self::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| format!("there are only {names}"))
    }
}

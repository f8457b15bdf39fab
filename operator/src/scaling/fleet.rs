//! What carries out a number of processors.

use futures::future::BoxFuture;
use std::collections::BTreeSet;

/// How many processors there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replicas {
    /// How many are asked for.
    pub asked: u32,
    /// How many are ready.
    pub ready: u32,
}

/// A change of the number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// How many are asked for now.
    pub from: u32,
    /// How many there should be.
    pub to: u32,
    /// Names of the workers that have nothing in work: they go first, and nobody else that has started.
    pub idle: BTreeSet<String>,
    /// Names of all workers that report: who does may have work, whatever Kubernetes knows of it yet.
    pub heard: BTreeSet<String>,
    /// How many of those that are asked for are neither ready nor report.
    pub starting: u32,
    /// Why, in one sentence.
    pub because: String,
    /// Whether this begins a movement: from none, to none, or in another direction than the last change.
    pub turns: bool,
}

impl Change {
    /// How many go.
    #[must_use]
    pub fn leaving(&self) -> u32 {
        self.from.saturating_sub(self.to)
    }
}

/// What became of a change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// The number that was set: another one than was wanted when so many cannot go without ending a busy one.
    pub replicas: u32,
    /// Names of the idle workers that go.
    pub going: BTreeSet<String>,
}

/// Why a number was not carried out. It is decided anew after a pause.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// The API server refused, or did not answer.
    #[error("cannot set the number of processors")]
    Api(#[from] kube::Error),
    /// Kubernetes would choose by what it knew before.
    #[error(
        "Kubernetes has not noted yet which of the processors are idle, so that it could end busy ones: \
         kube-controller-manager is slow, or does not run"
    )]
    Unnoted,
    /// Kubernetes would spread a smaller number over the processors of two versions.
    #[error(
        "processors of two versions run while the newer ones replace the others, and of which Kubernetes would end some \
         nobody can say: the number shrinks once that is done"
    )]
    Replacing,
    /// The last number is not carried out yet.
    #[error("Kubernetes has not ended as many processors yet as it was told to")]
    Unfinished,
    /// Kubernetes would begin with one that may have work.
    #[error(
        "the processor {pod} runs, is not ready and does not report, so that nobody knows whether it has work, and \
         Kubernetes would end it first: its log says why, or delete the Pod"
    )]
    Silent {
        /// Its Pod.
        pod: String,
    },
    /// The number is another one than was seen.
    #[error("somebody else has set another number just now")]
    Moved,
    /// The API server took too long before the number was written.
    #[error("the API server did not tell in time which processors there are")]
    Unprepared,
    /// The API server took too long.
    #[error("the API server did not answer in time")]
    Slow,
}

impl FleetError {
    /// Whether the number may have come through, or may yet; otherwise it is certainly as it was.
    #[must_use]
    pub fn is_in_doubt(&self) -> bool {
        match self {
            Self::Api(error) => !matches!(error, kube::Error::Api(_)),
            Self::Slow => true,
            Self::Unnoted
            | Self::Replacing
            | Self::Unfinished
            | Self::Silent { .. }
            | Self::Moved
            | Self::Unprepared => false,
        }
    }

    /// Whether this comes up while all is well, and mostly passes by itself: told only if it lasts.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Replacing | Self::Unfinished | Self::Silent { .. } | Self::Moved)
    }
}

/// The processors of one pipeline.
pub trait Fleet: Send + Sync {
    /// How many there are; `None` while there is nothing to be scaled.
    fn replicas(&self) -> Option<Replicas>;

    /// Sets the number, removing idle ones first.
    ///
    /// # Errors
    /// See [`FleetError`].
    fn set(&self, change: Change) -> BoxFuture<'_, Result<Done, FleetError>>;
}

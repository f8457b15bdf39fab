//! Who decides how many replicas there are.

pub mod fixed;
pub mod keda;
pub mod warren;

use std::time::Duration;
use warren_scaling::Observation;

/// Most replicas, for every scaler.
pub const MAX: u32 = 30;

/// A scaler.
pub trait Scaler {
    /// How many there should be; called when its clock says so, and when it is woken.
    fn look(&mut self, seen: &Observation) -> u32;

    /// When it looks next by itself.
    fn next_look(&self) -> Duration;

    /// Whether it is woken by the first submit at zero replicas, and by the first report of a processor.
    fn is_woken(&self) -> bool {
        false
    }

    /// Whether it asks idle Pods to take nothing more, and has Kubernetes take only those that say so.
    fn spares_the_busy(&self) -> bool {
        false
    }
}

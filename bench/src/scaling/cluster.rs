//! Where Pods run: how long they take to start and what they do when they are told to stop.

use std::time::Duration;

/// A cluster.
#[derive(Clone, Copy, Debug)]
pub struct Cluster {
    /// What starting takes that needs no core: scheduling, volumes, connecting.
    pub wait: Duration,
    /// Seconds on a core that starting takes besides, at least; see [`SPREAD`].
    pub cpu_seconds: f64,
    /// How many cores all starting Pods share; `None` when there are always enough.
    pub cores: Option<f64>,
    /// Whether a Pod that is told to stop finishes what it has, as `warren-processor` does; otherwise the broker delivers
    /// that once more.
    pub drains: bool,
}

/// What a Pod's start takes of cores is this multiple of the least, drawn anew for each: then thirty at once are at work
/// after 7 to 10 s and the burst that they work on is done, as it was measured.
pub const SPREAD: std::ops::Range<f64> = 1.0..1.6;

/// As measured on a node with two cores: one Pod alone is at work after 0.6 s, the first of thirty after 7 s.
pub const SMALL_NODE: Cluster =
    Cluster { wait: Duration::from_millis(150), cpu_seconds: 0.48, cores: Some(2.0), drains: true };

/// Enough nodes, with the image on each of them.
pub const LARGE: Cluster = Cluster { wait: Duration::from_secs(1), cpu_seconds: 0.5, cores: None, drains: true };

impl Cluster {
    /// How long one Pod alone takes to start, on average.
    pub fn start_time(&self) -> Duration {
        self.wait + Duration::from_secs_f64(self.cpu_seconds * (SPREAD.start + SPREAD.end) / 2.0)
    }
}

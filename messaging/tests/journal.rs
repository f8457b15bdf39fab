//! The journal: its stream beside the requests, and reading it.

mod reading;
mod stream;

use std::time::Duration;
use warren_messaging::topology::{Journal, Topology};

/// A week, but not more than 1 GiB.
const WEEK: Journal = Journal { retention: Duration::from_secs(7 * 86_400), max_bytes: 1 << 30 };

fn kept(journal: Journal) -> Topology {
    Topology { journal: Some(journal), ..Topology::named("p") }
}

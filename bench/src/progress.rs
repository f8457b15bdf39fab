//! Tells whoever waits, on standard error, how far the measurement is.

use crate::load::Measured;

/// One line per measurement.
pub fn tell(what: &str, many: u16, round: u32, measured: &Measured) {
    let per_second = measured.per_second;
    eprintln!("{what} at {many}, round {round}: {per_second:.0}/s");
}

//! Breaks Warren in every way a machine can, while clients submit, and compares what these were promised with what is
//! recorded in the end. Real processes, a real broker, real faults.

pub mod api;
pub mod brokers;
pub mod campaign;
pub mod checker;
pub mod findings;
pub mod kind;
pub mod load;
pub mod local;
pub mod memory;
pub mod options;
pub mod pace;
pub mod processes;
pub mod promises;
pub mod recovery;
pub mod redone;
pub mod report;
pub mod rule;
pub mod schedule;
pub mod soak;
pub mod stage;
pub mod store;

/// Prints a line with the time.
#[macro_export]
macro_rules! say {
    ($($words:tt)*) => {
        println!("{} {}", jiff::Zoned::now().strftime("%H:%M:%S"), format_args!($($words)*))
    };
}

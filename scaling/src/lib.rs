//! How many processors a pipeline should have, and why.
//!
//! [`decide`] is a pure function: what was observed, what the user asks for, and what is remembered of earlier
//! observations go in; a number and one sentence come out. It reads no clock and talks to nobody, so that the cluster,
//! `warren-operator local` and the simulator all run the very same rules.
//!
//! The rules, in the order in which they are applied:
//! 1. [`need`]: what the work calls for, by the user's [`Target`].
//! 2. Growth ([`starts`]) goes to that number as fast as starting replicas does not slow itself down.
//! 3. Shrinking ([`lull`]) waits, takes the idle in steps, and never goes below those that are busy or silent.
//! 4. What cannot be seen changes nothing: unknown is never zero.

mod decide;
mod decision;
pub mod load;
pub mod lull;
mod memory;
pub mod need;
mod observation;
mod policy;
pub mod retries;
pub mod starts;

pub use decide::decide;
pub use decision::{Decision, Reason};
pub use memory::Memory;
pub use observation::{Observation, Tier, Worker};
pub use policy::{Policy, Target};

//! The test kit against the real thing: a kit that fails to see a fault would make every other test pass.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod broker;
mod eventually;
mod images;
mod postgres;
mod program;
mod proxy;
mod run;

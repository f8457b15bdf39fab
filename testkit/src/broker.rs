//! A RabbitMQ for tests: one per test run with a virtual host per test, or a private one to stop and kill.

mod control;
mod leftovers;
mod management;
mod queue;
mod shared;
mod user;
mod vhost;

pub use control::{control, set_memory_alarm};
pub use queue::{Binding, QueueState};
pub use shared::{SharedBroker, shared};
pub use user::User;
pub use vhost::{Vhost, vhost};

use crate::scratch;
use std::{env, path::PathBuf, time::Duration};
use warren_rabbitmq_node::{Node, Settings};

/// The environment variable with the AMQP address of a broker that runs; tests then start none.
pub const AMQP_URL: &str = "WARREN_TEST_AMQP_URL";

/// The environment variable with the address of that broker's management API, with a user who may make virtual hosts.
pub const MANAGEMENT_URL: &str = "WARREN_TEST_MANAGEMENT_URL";

/// The environment variable with the path of the `rabbitmq-server` to test against, if not the installed one.
pub const SERVER: &str = "WARREN_TEST_RABBITMQ_SERVER";

/// A broker for a test that stops or kills it, without management. It is gone, with its directory, when it is dropped
/// or the test process ends, however it ends.
pub async fn private() -> Node {
    start(private_settings()).await
}

/// What [`private`] starts: change it and pass it to [`start`].
#[must_use]
pub fn private_settings() -> Settings {
    Settings {
        ephemeral: true,
        statistics_every: Duration::from_millis(200),
        // Beside Pods and compilers two cores may need minutes.
        boot_deadline: Duration::from_secs(180),
        server: env::var_os(SERVER).map(PathBuf::from),
        ..Settings::new(scratch::directory())
    }
}

/// Starts a broker for a test.
///
/// # Panics
/// When it does not start, with the end of its log.
pub async fn start(settings: Settings) -> Node {
    match Node::start(settings).await {
        Ok(node) => node,
        Err(error) => panic!("the test's broker does not start: {error}"),
    }
}

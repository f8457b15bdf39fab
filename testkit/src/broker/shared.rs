//! The broker of this test run.

use super::{AMQP_URL, MANAGEMENT_URL, leftovers, private_settings, start};
use crate::away::away_from_this_runtime;
use reqwest::Url;
use std::{env, sync::OnceLock};
use warren_rabbitmq_node::{Node, Settings};

/// The broker of this test run. Never stop it: other tests use it at the same time.
#[derive(Debug)]
pub struct SharedBroker {
    amqp: Url,
    management: Url,
    /// Only kept. Statics are not dropped; the node ends because it notices that its owner did.
    _node: Option<Node>,
}

/// The broker of this test run: the one that `WARREN_TEST_AMQP_URL` names, or one that is started when a test of this
/// process first asks, and ends with the process. Blocks while it starts.
///
/// # Panics
/// When there is none, with the reason.
pub fn shared() -> &'static SharedBroker {
    static SHARED: OnceLock<SharedBroker> = OnceLock::new();
    SHARED.get_or_init(|| match env::var(AMQP_URL) {
        Ok(amqp) if !amqp.is_empty() => named(&amqp),
        _ => own(),
    })
}

impl SharedBroker {
    /// Its AMQP address, with the virtual host `/`.
    #[must_use]
    pub fn url(&self) -> &str {
        self.amqp.as_str()
    }

    /// Its AMQP address with another virtual host, whose name needs no escapes.
    pub(super) fn url_of(&self, vhost: &str) -> String {
        let mut url = self.amqp.clone();
        url.set_path(vhost);
        url.into()
    }

    /// The user that AMQP clients log in as.
    pub(super) fn user(&self) -> &str {
        match self.amqp.username() {
            "" => "guest",
            user => user,
        }
    }

    /// The address of its management API, with user and password.
    #[must_use]
    pub fn management_url(&self) -> &Url {
        &self.management
    }
}

fn named(amqp: &str) -> SharedBroker {
    let management = env::var(MANAGEMENT_URL).unwrap_or_else(|_| {
        panic!("{AMQP_URL} is set, so set {MANAGEMENT_URL} too, to http://user:password@host:15672")
    });
    let broker =
        SharedBroker { amqp: parse(AMQP_URL, amqp), management: parse(MANAGEMENT_URL, &management), _node: None };
    let api = broker.management.clone();
    away_from_this_runtime(async move { leftovers::sweep(&api).await });
    broker
}

fn own() -> SharedBroker {
    let settings = Settings { management: true, ..private_settings() };
    let node = away_from_this_runtime(start(settings));
    let management = node.management_url().expect("the node was started with management");
    SharedBroker {
        amqp: parse("the node's address", &node.url()),
        management: parse("the node's management address", &management),
        _node: Some(node),
    }
}

fn parse(what: &str, url: &str) -> Url {
    Url::parse(url).unwrap_or_else(|error| panic!("{what} is no URL: {error}"))
}

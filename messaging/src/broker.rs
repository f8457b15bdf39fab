//! Which broker, and by whose word it is believed to be that one.

mod ca;

pub use ca::{CaBundle, CaBundleError};

use crate::broker_url::{BrokerUrl, BrokerUrlError};
use lapin::tcp::{RustlsConnector, RustlsConnectorConfig};
use std::{io, str::FromStr};

/// Where RabbitMQ is, and for `amqps://` whose signature its certificate may bear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker {
    /// The address.
    pub url: BrokerUrl,
    /// Trusted besides the system's own certificate authorities; of no meaning for `amqp://`.
    pub ca: Option<CaBundle>,
    /// Under which name its host is looked for first, if not under its own: what a name leads to may depend on where it
    /// is looked up, and an address be written for another place. Its certificate bears the own one all the same.
    pub looked_up_as: Option<String>,
}

impl Broker {
    /// `host:port` of where it is looked for, for messages.
    #[must_use]
    pub fn host_and_port(&self) -> String {
        match &self.looked_up_as {
            Some(name) => format!("{name}:{}", self.url.port()),
            None => self.url.host_and_port(),
        }
    }

    /// How to begin TLS; `None` for `amqp://`. lapin's own way does without a bundle's authorities where the system has
    /// none, as in an image without the package ca-certificates; this one only wants either.
    pub(crate) fn tls(&self) -> io::Result<Option<RustlsConnector>> {
        if !self.url.is_tls() {
            return Ok(None);
        }
        let given = self.ca.as_ref().map(|ca| ca.certificates().to_vec()).unwrap_or_default();
        let given = RustlsConnectorConfig::default().with_parsable_certificates(given);
        given.clone().with_native_certs().unwrap_or(given).connector_with_no_client_auth().map(Some)
    }
}

/// A broker that the system's certificate authorities vouch for, if it speaks TLS.
impl From<BrokerUrl> for Broker {
    fn from(url: BrokerUrl) -> Self {
        Self { url, ca: None, looked_up_as: None }
    }
}

/// From the address alone.
impl FromStr for Broker {
    type Err = BrokerUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<BrokerUrl>().map(Self::from)
    }
}

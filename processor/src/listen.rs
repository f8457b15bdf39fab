//! Where health and metrics are served.

use std::{net::SocketAddr, str::FromStr};

/// Where health and metrics are served, if anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    /// Nowhere.
    Off,
    /// At this address; port 0 takes any free port and logs it.
    At(SocketAddr),
}

/// A text that is no address to listen at.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no address to listen at: write an IP address and a port, such as 0.0.0.0:8081, or off")]
pub struct NotAnAddress(String);

impl FromStr for Listen {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "off" => Ok(Self::Off),
            address => address.parse().map(Self::At).map_err(|_| NotAnAddress(address.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_or_off_is_read_and_anything_else_refused_with_the_way_out() {
        assert_eq!("off".parse(), Ok(Listen::Off));
        assert_eq!("[::1]:81".parse(), Ok(Listen::At(SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 81)))));
        let refusal = "8081".parse::<Listen>().expect_err("has no address").to_string();
        assert!(refusal.contains("0.0.0.0:8081"), "{refusal}");
    }
}

//! What is wrong when RabbitMQ is there and TLS is not, or the other way round.

use super::LinkError;
use crate::broker::Broker;
use lapin::ErrorKind;
use rustls::{CertificateError, Error as TlsError};
use std::io;

/// The failure to connect in words; whatever TLS has nothing to do with is [`LinkError::Unreachable`].
pub(super) fn refusal(to: &Broker, source: lapin::Error) -> LinkError {
    let broker = to.host_and_port();
    match said(&source) {
        None if !to.url.is_tls() && is_no_handshake(&source) => LinkError::NotAmqp { broker, source },
        None => LinkError::Unreachable { broker, source },
        Some(TlsError::InvalidMessage(_)) => LinkError::NotTls { broker },
        Some(TlsError::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature)) => {
            LinkError::Untrusted { broker, source }
        }
        Some(TlsError::InvalidCertificate(CertificateError::NotValidForNameContext { presented, .. })) => {
            LinkError::OtherName { broker, names: names(presented) }
        }
        Some(_) => LinkError::Tls { broker, source },
    }
}

fn said(error: &lapin::Error) -> Option<&TlsError> {
    match error.kind() {
        ErrorKind::IOError(error) => error.get_ref()?.downcast_ref(),
        _ => None,
    }
}

/// A TLS listener answers plain AMQP with an alert, and hangs up. It often resets the connection, so that the alert is
/// never read.
fn is_no_handshake(error: &lapin::Error) -> bool {
    match error.kind() {
        ErrorKind::ParsingError(_) | ErrorKind::InvalidProtocolVersion(_) => true,
        ErrorKind::IOError(error) => {
            matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted)
        }
        _ => false,
    }
}

/// They come as `DnsName("rabbit.example")` or `IpAddress(10.0.0.7)`.
fn names(presented: &[String]) -> String {
    let bare = |name: &String| {
        let inner = name.split_once('(').map_or(name.as_str(), |(_, rest)| rest.trim_end_matches(')'));
        inner.trim_matches('"').to_owned()
    };
    match presented {
        [] => "no name at all".into(),
        names => names.iter().map(bare).collect::<Vec<_>>().join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(error: TlsError) -> LinkError {
        refused_by("amqps://h", io::Error::new(io::ErrorKind::InvalidData, error))
    }

    fn refused_by(url: &str, error: io::Error) -> LinkError {
        refusal(&url.parse().expect("is an address"), error.into())
    }

    #[test]
    fn hanging_up_on_a_plain_handshake_hints_at_tls() {
        let hung_up = refused_by("amqp://h", io::ErrorKind::ConnectionReset.into());
        assert!(hung_up.to_string().contains("write amqps://"), "{hung_up}");
        let hung_up = refused_by("amqps://h", io::ErrorKind::ConnectionReset.into());
        assert!(matches!(hung_up, LinkError::Unreachable { .. }), "{hung_up:?}");
    }

    #[test]
    fn an_expired_certificate_is_no_matter_of_trust_and_a_closed_port_none_of_tls() {
        let expired = refused(TlsError::InvalidCertificate(CertificateError::Expired));
        assert!(matches!(expired, LinkError::Tls { .. }), "{expired:?}");
        let forged = refused(TlsError::InvalidCertificate(CertificateError::BadSignature));
        assert!(matches!(forged, LinkError::Untrusted { .. }), "{forged:?}");
        let closed = refused_by("amqp://h", io::ErrorKind::ConnectionRefused.into());
        assert!(matches!(closed, LinkError::Unreachable { .. }), "{closed:?}");
    }

    #[test]
    fn the_names_of_a_certificate_are_shown_bare() {
        assert_eq!(names(&[r#"DnsName("mq.example")"#.into(), "IpAddress(10.0.0.7)".into()]), "mq.example, 10.0.0.7");
        assert_eq!(names(&[]), "no name at all");
    }
}

//! Certificate authorities of one's own.

use rustls::{
    RootCertStore,
    pki_types::{
        CertificateDer,
        pem::{self, PemObject as _},
    },
};
use std::{fmt, str::FromStr};

/// One certificate or more, each of an authority that may have signed the broker's, read from PEM text. What else the
/// text holds is passed over.
#[derive(Clone, PartialEq, Eq)]
pub struct CaBundle(Vec<CertificateDer<'static>>);

/// Why a text is no bundle of authorities.
#[derive(Debug, thiserror::Error)]
pub enum CaBundleError {
    /// No PEM section with that name.
    #[error(
        "no certificate in it: expected PEM text with `-----BEGIN CERTIFICATE-----`, as the file ca.crt has it, not a \
         file's path and not base64 once more"
    )]
    Empty,
    /// A section that does not end, or whose base64 is broken.
    #[error("certificate {number} in it is no PEM: copy it whole, with its line breaks")]
    Pem {
        /// Counted from 1.
        number: usize,
        /// Where reading failed.
        source: pem::Error,
    },
    /// PEM, but no X.509 certificate in it.
    #[error("certificate {number} in it is none of X.509: give the authority's certificate, as ca.crt has it")]
    Certificate {
        /// Counted from 1.
        number: usize,
        /// Why not.
        source: rustls::Error,
    },
}

impl CaBundle {
    /// The certificates.
    pub(super) fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.0
    }
}

impl FromStr for CaBundle {
    type Err = CaBundleError;

    /// Beginning TLS skips what is no certificate, so that the mistake would only show as a broker that is not trusted.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut certificates = Vec::new();
        for (index, certificate) in CertificateDer::pem_slice_iter(text.as_bytes()).enumerate() {
            let number = index + 1;
            let certificate = certificate.map_err(|source| CaBundleError::Pem { number, source })?;
            let usable = RootCertStore::empty().add(certificate.clone());
            usable.map_err(|source| CaBundleError::Certificate { number, source })?;
            certificates.push(certificate);
        }
        if certificates.is_empty() { Err(CaBundleError::Empty) } else { Ok(Self(certificates)) }
    }
}

/// Without their bytes.
impl fmt::Debug for CaBundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CaBundle({} certificates)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate() -> String {
        rcgen::generate_simple_self_signed(["h".to_owned()]).expect("is made").cert.pem()
    }

    #[test]
    fn a_bundle_may_hold_many_certificates_and_other_text() {
        let text = format!("# ours\n{}{}\n", certificate(), certificate().replace('\n', "\r\n"));
        let bundle: CaBundle = text.parse().expect("is a bundle");
        assert_eq!(format!("{bundle:?}"), "CaBundle(2 certificates)");
    }

    #[test]
    fn each_mistake_is_named_with_its_repair() {
        let key = rcgen::KeyPair::generate().expect("is made").serialize_pem();
        let good = certificate();
        let half = format!("{good}{}", &good[..good.len() / 2]);
        let hollow = "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n";
        for (text, word) in [
            ("", "no certificate"),
            ("/etc/ssl/ca.crt", "not a file's path"),
            (key.as_str(), "no certificate"),
            (half.as_str(), "certificate 2"),
            (hollow, "X.509"),
        ] {
            let refusal = text.parse::<CaBundle>().expect_err(text).to_string();
            assert!(refusal.contains(word), "{text}: {refusal}");
        }
    }
}

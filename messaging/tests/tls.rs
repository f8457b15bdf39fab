//! TLS with a certificate authority of one's own.

use lapin::Connection;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use std::{fs, time::Duration};
use tokio_util::sync::CancellationToken;
use warren_messaging::{
    broker::{Broker, CaBundle},
    link::{Frames, Link, LinkError, Opened, Session, connect},
};
use warren_rabbitmq_node::{Node, Settings, Tls};
use warren_testkit::{broker, eventually, free_port};

struct Site {
    node: Node,
    port: u16,
    ca: CaBundle,
    _certificates: tempfile::TempDir,
}

impl Site {
    fn broker(&self, scheme: &str, host: &str, ca: Option<&CaBundle>) -> Broker {
        let port = if scheme == "amqps" { self.port } else { self.node.amqp_port() };
        let url = format!("{scheme}://guest:guest@{host}:{port}/").parse().expect("is an address");
        Broker { url, ca: ca.cloned(), looked_up_as: None }
    }
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("is made")).expect("is signed")
}

fn bundle(authority: &CertifiedIssuer<'static, KeyPair>) -> CaBundle {
    authority.pem().parse().expect("is a bundle")
}

/// A node whose certificate, for `localhost`, an authority of its own has signed.
async fn site() -> Site {
    let (authority, key) = (authority(), KeyPair::generate().expect("is made"));
    let mut params = CertificateParams::new(["localhost".to_owned()]).expect("is a name");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let certificate = params.signed_by(&key, &authority).expect("is signed");
    let directory = tempfile::tempdir().expect("is made");
    let tls =
        Tls { port: free_port(), certificate: directory.path().join("tls.crt"), key: directory.path().join("tls.key") };
    fs::write(&tls.certificate, certificate.pem()).expect("is written");
    fs::write(&tls.key, key.serialize_pem()).expect("is written");
    let port = tls.port;
    let node = broker::start(Settings { tls: Some(tls), ..broker::private_settings() }).await;
    Site { node, port, ca: bundle(&authority), _certificates: directory }
}

async fn refusal(broker: &Broker) -> LinkError {
    connect(broker, "test", Frames::Small).await.map(drop).expect_err("is refused")
}

/// Holds the connection.
struct Idle;

impl Session for Idle {
    async fn serve(&mut self, opened: Opened<'_>) -> Result<(), LinkError> {
        opened.ready();
        opened.stop.cancelled().await;
        Ok(())
    }
}

#[tokio::test]
async fn a_host_may_be_looked_up_under_another_name_than_its_certificate_bears() {
    let site = site().await;
    for name in ["127.0.0.1", "no-such-name.invalid"] {
        let broker = Broker { looked_up_as: Some(name.into()), ..site.broker("amqps", "localhost", Some(&site.ca)) };
        connect(&broker, "test", Frames::Small).await.unwrap_or_else(|error| panic!("{name}: {error:?}"));
    }
    let nowhere = site.broker("amqp", "no-such-name.invalid", None);
    let found = Broker { looked_up_as: Some("127.0.0.1".into()), ..nowhere.clone() };
    connect(&found, "test", Frames::Small).await.expect("is found under the other name");
    assert!(refusal(&nowhere).await.to_string().contains("no-such-name.invalid"));
}

#[tokio::test]
async fn a_link_connects_with_the_authoritys_certificate_and_otherwise_says_what_is_wrong() {
    let site = site().await;
    let (link, stop) =
        (Link::new(site.broker("amqps", "localhost", Some(&site.ca)), "test", None), CancellationToken::new());
    let state = link.state();
    let keeping = tokio::spawn(link.keep(Idle, stop.clone()));
    eventually("the link is ready", Duration::from_secs(10), async || {
        let state = state.borrow().clone();
        if state.is_ready() { Ok(()) } else { Err(state.to_string()) }
    })
    .await;
    stop.cancel();
    keeping.await.expect("ends");

    let others = bundle(&authority());
    for ca in [None, Some(&others)] {
        let refused = refusal(&site.broker("amqps", "localhost", ca)).await;
        assert!(matches!(refused, LinkError::Untrusted { .. }), "{refused:?}");
        assert!(refused.to_string().contains("spec.broker.caSecretRef"), "{refused}");
    }

    let refused = refusal(&site.broker("amqps", "127.0.0.1", Some(&site.ca))).await;
    assert!(matches!(refused, LinkError::OtherName { .. }), "{refused:?}");
    assert!(refused.to_string().contains("is for localhost"), "{refused}");

    let mut plain_port = site.broker("amqps", "localhost", Some(&site.ca));
    plain_port.url = format!("amqps://localhost:{}", site.node.amqp_port()).parse().expect("is an address");
    let refused = refusal(&plain_port).await;
    assert!(matches!(refused, LinkError::NotTls { .. }), "{refused:?}");

    let tls_port: Broker = format!("amqp://127.0.0.1:{}", site.port).parse().expect("is an address");
    let refused = refusal(&tls_port).await;
    assert!(matches!(refused, LinkError::NotAmqp { .. }), "{refused:?}");

    let _: Connection =
        connect(&site.broker("amqp", "127.0.0.1", Some(&site.ca)), "test", Frames::Small).await.expect("connects");
}

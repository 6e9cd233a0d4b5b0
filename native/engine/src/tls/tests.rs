use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
use rcgen::SanType;
use rustls::{ClientConnection, ServerConnection};

use super::testing::{Authority, uri};
use super::{Credentials, IdentityStore, remaining_validity};
use crate::api::IdentityCertificate;
use crate::error::ErrorCode;

const CLIENT: &str = "spiffe://cluster.local/ns/a/sa/client";
const SERVER: &str = "spiffe://cluster.local/ns/b/sa/server";

fn credentials(certificate: &IdentityCertificate) -> Arc<Credentials> {
    let store = IdentityStore::new(&["cluster.local".to_owned()]);
    store.set(certificate).expect("usable");
    store.get(&certificate.spiffe_id).expect("stored")
}

fn expecting(identities: &[&str]) -> Arc<[Arc<str>]> {
    identities
        .iter()
        .map(|identity| Arc::from(*identity))
        .collect()
}

/// Runs a whole handshake in memory; the errors of the client and of the server.
fn handshake(
    client: &Credentials,
    expected: &[&str],
    server: &Credentials,
) -> (Option<String>, Option<String>) {
    let client = ClientConnection::new(
        client.client(expecting(expected)),
        Credentials::server_name(),
    );
    shake(client.expect("client"), server)
}

fn shake(mut client: ClientConnection, server: &Credentials) -> (Option<String>, Option<String>) {
    let mut server = ServerConnection::new(server.server()).expect("server");
    let (mut client_error, mut server_error) = (None, None);
    for _ in 0..10 {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).expect("memory");
        }
        server.read_tls(&mut wire.as_slice()).expect("memory");
        server_error = server_error.or(server
            .process_new_packets()
            .err()
            .map(|error| format!("{error:?}")));
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).expect("memory");
        }
        client.read_tls(&mut wire.as_slice()).expect("memory");
        client_error = client_error.or(client
            .process_new_packets()
            .err()
            .map(|error| format!("{error:?}")));
    }
    (client_error, server_error)
}

#[test]
fn both_ends_accept_who_they_expect() {
    let authority = Authority::new();
    let (client, server) = (
        credentials(&authority.issue(CLIENT)),
        credentials(&authority.issue(SERVER)),
    );
    assert_eq!(handshake(&client, &[SERVER], &server), (None, None));
}

#[test]
fn a_server_of_another_identity_is_refused() {
    let authority = Authority::new();
    let (client, server) = (
        credentials(&authority.issue(CLIENT)),
        credentials(&authority.issue(SERVER)),
    );
    let (client_error, _) = handshake(&client, &["spiffe://cluster.local/ns/b/sa/other"], &server);
    assert!(client_error.expect("refused").contains("NotExpected"));
}

#[test]
fn a_server_is_refused_while_nobody_is_expected() {
    let authority = Authority::new();
    let (client, server) = (
        credentials(&authority.issue(CLIENT)),
        credentials(&authority.issue(SERVER)),
    );
    assert!(handshake(&client, &[], &server).0.is_some());
}

#[test]
fn a_chain_to_another_root_is_refused() {
    let (client, server) = (
        credentials(&Authority::new().issue(CLIENT)),
        credentials(&Authority::new().issue(SERVER)),
    );
    assert!(
        handshake(&client, &[SERVER], &server)
            .0
            .expect("refused")
            .contains("InvalidCertificate")
    );
}

#[test]
fn a_client_of_another_trust_domain_is_refused() {
    let authority = Authority::new();
    let stranger = credentials(&authority.issue("spiffe://elsewhere/ns/a/sa/client"));
    let server = credentials(&authority.issue(SERVER));
    let (_, server_error) = handshake(&stranger, &[SERVER], &server);
    assert!(
        server_error
            .expect("refused")
            .contains("TrustDomain(\"elsewhere\")")
    );
}

#[test]
fn a_client_certificate_that_is_only_for_servers_is_refused() {
    let authority = Authority::new();
    let client = credentials(&authority.issue_for(CLIENT, vec![uri(CLIENT)], vec![ServerAuth]));
    let server = credentials(&authority.issue(SERVER));
    assert!(handshake(&client, &[SERVER], &server).1.is_some());
}

#[test]
fn a_server_certificate_that_is_only_for_clients_is_refused() {
    let authority = Authority::new();
    let client = credentials(&authority.issue(CLIENT));
    let server = credentials(&authority.issue_for(SERVER, vec![uri(SERVER)], vec![ClientAuth]));
    assert!(handshake(&client, &[SERVER], &server).0.is_some());
}

#[test]
fn the_first_uri_is_the_identity() {
    let authority = Authority::new();
    let names = vec![uri(SERVER), uri("spiffe://cluster.local/ns/b/sa/other")];
    let server = credentials(&authority.issue_for(SERVER, names, vec![ServerAuth, ClientAuth]));
    let client = credentials(&authority.issue(CLIENT));
    assert_eq!(handshake(&client, &[SERVER], &server), (None, None));
    assert!(
        handshake(&client, &["spiffe://cluster.local/ns/b/sa/other"], &server)
            .0
            .is_some()
    );
}

#[test]
fn a_client_without_a_certificate_is_refused() {
    let authority = Authority::new();
    let server = credentials(&authority.issue(SERVER));
    let mut roots = rustls::RootCertStore::empty();
    use rustls_pki_types::{CertificateDer, pem::PemObject};
    roots
        .add(
            CertificateDer::from_pem_slice(authority.issue(CLIENT).roots.as_bytes()).expect("root"),
        )
        .expect("root");
    let config = rustls::ClientConfig::builder_with_provider(super::material::provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(super::verify::ExpectServer {
            roots: server_roots(&authority),
            expected: super::verify::Expected::Identities(expecting(&[SERVER])),
        }))
        .with_no_client_auth();
    let mut client =
        ClientConnection::new(Arc::new(config), Credentials::server_name()).expect("client");
    let mut server = ServerConnection::new(server.server()).expect("server");
    let mut refused = None;
    for _ in 0..4 {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).expect("memory");
        }
        server.read_tls(&mut wire.as_slice()).expect("memory");
        refused = refused.or(server.process_new_packets().err());
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).expect("memory");
        }
        client.read_tls(&mut wire.as_slice()).expect("memory");
        let _ = client.process_new_packets();
    }
    assert!(
        matches!(refused, Some(rustls::Error::NoCertificatesPresented)),
        "{refused:?}"
    );
}

fn server_roots(authority: &Authority) -> Arc<super::TrustRoots> {
    use rustls_pki_types::{CertificateDer, pem::PemObject};
    let root =
        CertificateDer::from_pem_slice(authority.issue(CLIENT).roots.as_bytes()).expect("root");
    Arc::new(super::TrustRoots::new(&[root], &super::material::provider()).expect("root"))
}

#[test]
fn a_certificate_of_somebody_else_is_not_stored() {
    let mut certificate = Authority::new().issue(CLIENT);
    certificate.spiffe_id = Arc::from(SERVER);
    let error = IdentityStore::new(&["cluster.local".to_owned()])
        .set(&certificate)
        .expect_err("refused");
    assert_eq!(error.code, ErrorCode::InvalidIdentity);
}

#[tokio::test(start_paused = true)]
async fn waiting_for_an_identity_is_bounded() {
    let store = IdentityStore::new(&["cluster.local".to_owned()]);
    assert!(store.wait(CLIENT, Duration::from_secs(5)).await.is_none());
}

#[tokio::test]
async fn waiting_ends_when_the_identity_comes() {
    let store = Arc::new(IdentityStore::new(&["cluster.local".to_owned()]));
    let setter = store.clone();
    let (found, ()) = tokio::join!(store.wait(CLIENT, Duration::from_secs(5)), async move {
        setter.set(&Authority::new().issue(CLIENT)).expect("usable");
    });
    assert_eq!(&*found.expect("found").spiffe_id, CLIENT);
}

#[test]
fn a_certificate_says_how_long_it_holds() {
    use rustls_pki_types::{CertificateDer, pem::PemObject};
    // What rcgen writes unless it is told otherwise: the first second of 4096.
    let end = SystemTime::UNIX_EPOCH + Duration::from_secs(67_090_118_400);
    let issued = Authority::new().issue(CLIENT);
    let leaf = CertificateDer::from_pem_slice(issued.certificate_chain.as_bytes()).expect("PEM");
    let minute = Duration::from_secs(60);
    assert_eq!(remaining_validity(&leaf, end - minute), minute);
    assert_eq!(remaining_validity(&leaf, end + minute), Duration::ZERO);
}

#[test]
fn a_server_that_is_known_by_name_must_have_that_name() {
    let authority = Authority::new();
    let client = credentials(&authority.issue(CLIENT));
    let named = authority.issue_for(
        SERVER,
        vec![
            uri(SERVER),
            SanType::DnsName("control.example".try_into().expect("ASCII")),
        ],
        vec![ServerAuth],
    );
    let server = credentials(&named);
    for (name, accepted) in [("control.example", true), ("other.example", false)] {
        let name = name.try_into().expect("a name");
        let connecting = ClientConnection::new(client.client_by_name(), name).expect("client");
        let (error, _) = shake(connecting, &server);
        assert_eq!(error.is_none(), accepted, "{error:?}");
        assert!(accepted || error.is_some_and(|error| error.contains("NotValidForName")));
    }
}

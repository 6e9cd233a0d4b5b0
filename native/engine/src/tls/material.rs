//! From PEM to rustls configurations, once per version of an identity.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, ServerConfig, version};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};

use super::verify::{AcceptClient, ExpectServer, Expected, TrustRoots};
use crate::api::IdentityCertificate;
use crate::error::{EngineError, ErrorCode};

pub const ALPN_H2: &[u8] = b"h2";

/// The suites that stock peers offer; ChaCha20 is left out because every machine we run on has AES instructions.
pub(super) fn provider() -> Arc<CryptoProvider> {
    use aws_lc_rs::cipher_suite::{TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384};
    Arc::new(CryptoProvider {
        cipher_suites: vec![TLS13_AES_256_GCM_SHA384, TLS13_AES_128_GCM_SHA256],
        ..aws_lc_rs::default_provider()
    })
}

/// Never sent, since SNI is off: rustls only wants some name.
pub(super) fn unsent_server_name() -> ServerName<'static> {
    ServerName::IpAddress(IpAddr::V4(Ipv4Addr::UNSPECIFIED).into())
}

fn invalid(what: &str, cause: impl std::error::Error + Send + Sync + 'static) -> EngineError {
    let message = format!("the {what} of an identity cannot be used; check what the CA returned");
    EngineError::caused(ErrorCode::InvalidIdentity, message, cause)
}

fn certificates(pem: &str, what: &str) -> Result<Vec<CertificateDer<'static>>, EngineError> {
    let found = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| invalid(what, error))?;
    if found.is_empty() {
        let message = format!("the {what} of an identity holds no certificate; it must be PEM");
        return Err(EngineError::new(ErrorCode::InvalidIdentity, message));
    }
    Ok(found)
}

/// Parsed key material, and the configurations made from it.
pub(super) struct Material {
    pub client: ClientConfig,
    pub server: Arc<ServerConfig>,
    pub roots: Arc<TrustRoots>,
}

impl Material {
    pub fn parse(
        certificate: &IdentityCertificate,
        trust_domains: &Arc<[String]>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, EngineError> {
        let chain = certificates(&certificate.certificate_chain, "certificate chain")?;
        let key = PrivateKeyDer::from_pem_slice(certificate.private_key.as_bytes())
            .map_err(|error| invalid("private key", error))?;
        let certified = CertifiedKey::from_der(chain, key, provider)
            .map_err(|error| invalid("key pair", error))?;
        let certified = Arc::new(SingleCertAndKey::from(certified));
        let roots = TrustRoots::new(&certificates(&certificate.roots, "root bundle")?, provider)
            .map_err(|error| invalid("root bundle", error))?;
        let roots = Arc::new(roots);
        Ok(Material {
            client: client_config(certified.clone(), roots.clone(), provider)?,
            server: Arc::new(server_config(
                certified,
                roots.clone(),
                trust_domains.clone(),
                provider,
            )?),
            roots,
        })
    }
}

fn client_config(
    certified: Arc<SingleCertAndKey>,
    roots: Arc<TrustRoots>,
    provider: &Arc<CryptoProvider>,
) -> Result<ClientConfig, EngineError> {
    // Expects nobody: each destination puts its own identities in place.
    let verifier = Arc::new(ExpectServer {
        roots,
        expected: Expected::Identities(Arc::from([])),
    });
    let mut config = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&version::TLS13])
        .map_err(|error| invalid("cipher suites", error))?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_cert_resolver(certified);
    config.alpn_protocols = vec![ALPN_H2.to_vec()];
    config.enable_sni = false;
    // A resumed session would skip the verifier, and with it a change of roots or of expected identities.
    config.resumption = Resumption::disabled();
    Ok(config)
}

fn server_config(
    certified: Arc<SingleCertAndKey>,
    roots: Arc<TrustRoots>,
    trust_domains: Arc<[String]>,
    provider: &Arc<CryptoProvider>,
) -> Result<ServerConfig, EngineError> {
    let verifier = Arc::new(AcceptClient {
        roots,
        trust_domains,
    });
    let mut config = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&version::TLS13])
        .map_err(|error| invalid("cipher suites", error))?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(certified);
    config.alpn_protocols = vec![ALPN_H2.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

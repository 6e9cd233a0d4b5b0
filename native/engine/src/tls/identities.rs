//! Who our pods are: the certificates by SPIFFE ID, and the TLS configurations made of them.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, ServerConfig};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::sync::watch;
use tokio::time::timeout;

use super::material::{Material, provider, unsent_server_name};
use super::verify::{ExpectServer, Expected, peer_identity};
use crate::api::IdentityCertificate;
use crate::error::{EngineError, ErrorCode};

/// One version of one identity, ready for handshakes.
pub struct Credentials {
    pub spiffe_id: Arc<str>,
    material: Material,
}

impl Credentials {
    /// A client that accepts only `identities`. Cheap: keys and roots are shared with every other one of this version.
    pub fn client(&self, identities: Arc<[Arc<str>]>) -> Arc<ClientConfig> {
        Arc::new(self.expecting(Expected::Identities(identities)))
    }

    /// A client that accepts only a server whose certificate has the name that the connection is made for.
    pub fn client_by_name(&self) -> Arc<ClientConfig> {
        let mut config = self.expecting(Expected::Name);
        config.enable_sni = true;
        Arc::new(config)
    }

    fn expecting(&self, expected: Expected) -> ClientConfig {
        let mut config = self.material.client.clone();
        let roots = self.material.roots.clone();
        let verifier = Arc::new(ExpectServer { roots, expected });
        config.dangerous().set_certificate_verifier(verifier);
        config
    }

    pub fn server(&self) -> Arc<ServerConfig> {
        self.material.server.clone()
    }

    pub fn server_name() -> ServerName<'static> {
        unsent_server_name()
    }
}

/// Shared by all threads; read once per handshake, never per byte.
pub struct IdentityStore {
    provider: Arc<CryptoProvider>,
    trust_domains: Arc<[String]>,
    identities: RwLock<HashMap<Arc<str>, Arc<Credentials>>>,
    changes: watch::Sender<()>,
}

impl IdentityStore {
    pub fn new(trust_domains: &[String]) -> Self {
        IdentityStore {
            provider: provider(),
            trust_domains: trust_domains.into(),
            identities: RwLock::default(),
            changes: watch::Sender::new(()),
        }
    }

    /// Fails without touching the former version where the material is unusable or speaks of somebody else.
    pub fn set(&self, certificate: &IdentityCertificate) -> Result<(), EngineError> {
        check_subject(certificate)?;
        let material = Material::parse(certificate, &self.trust_domains, &self.provider)?;
        let spiffe_id = certificate.spiffe_id.clone();
        let credentials = Arc::new(Credentials {
            spiffe_id: spiffe_id.clone(),
            material,
        });
        self.identities
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(spiffe_id, credentials);
        self.changes.send_replace(());
        Ok(())
    }

    pub fn remove(&self, spiffe_id: &str) {
        self.identities
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(spiffe_id);
    }

    pub fn get(&self, spiffe_id: &str) -> Option<Arc<Credentials>> {
        self.identities
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(spiffe_id)
            .cloned()
    }

    /// Waits at most `limit` for an identity that has not been given yet, as happens when a pod's first flow is faster
    /// than the CA.
    pub async fn wait(&self, spiffe_id: &str, limit: Duration) -> Option<Arc<Credentials>> {
        if let Some(found) = self.get(spiffe_id) {
            return Some(found);
        }
        timeout(limit, self.next(spiffe_id)).await.ok()
    }

    async fn next(&self, spiffe_id: &str) -> Arc<Credentials> {
        let mut changes = self.changes.subscribe();
        loop {
            if let Some(found) = self.get(spiffe_id) {
                return found;
            }
            // The sender lives in self, so an error cannot come while self is borrowed.
            let _ = changes.changed().await;
        }
    }
}

fn check_subject(certificate: &IdentityCertificate) -> Result<(), EngineError> {
    use rustls_pki_types::pem::PemObject;
    let leaf = CertificateDer::from_pem_slice(certificate.certificate_chain.as_bytes()).map_err(
        |error| {
            EngineError::caused(
                ErrorCode::InvalidIdentity,
                "the certificate chain is not PEM",
                error,
            )
        },
    )?;
    let named = peer_identity(&leaf).map_err(|error| {
        EngineError::caused(
            ErrorCode::InvalidIdentity,
            "the certificate names no identity",
            error,
        )
    })?;
    if *named == *certificate.spiffe_id {
        return Ok(());
    }
    let message = format!(
        "the certificate given for {} is that of {named}",
        certificate.spiffe_id
    );
    Err(EngineError::new(ErrorCode::InvalidIdentity, message))
}

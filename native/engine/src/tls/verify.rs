//! Verifiers for both ends. A peer is who its first URI SAN says, once its chain is verified; names are compared only of servers
//! that are no part of the mesh's tunnels.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError,
    PeerIncompatible, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, KeyUsage};

/// Why a peer with a valid chain is still nobody we talk to.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PeerIdentityError {
    #[error("the peer's certificate cannot be parsed")]
    Unparsable,
    #[error("the peer's certificate holds no URI subject alternative name")]
    NoUri,
    #[error(
        "the peer's identity {0} is not of the form spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/SERVICE-ACCOUNT"
    )]
    NotSpiffe(String),
    #[error("the peer's trust domain {0} is not accepted")]
    TrustDomain(String),
    #[error("the peer is {0}, which is none of the identities expected at this address")]
    NotExpected(String),
}

impl From<PeerIdentityError> for Error {
    fn from(error: PeerIdentityError) -> Self {
        Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(error))))
    }
}

/// The roots that chains must lead to, parsed once.
pub struct TrustRoots {
    anchors: Vec<TrustAnchor<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl fmt::Debug for TrustRoots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrustRoots")
            .field("anchors", &self.anchors.len())
            .finish()
    }
}

impl TrustRoots {
    /// Fails where a root is no certificate.
    pub fn new(
        roots: &[CertificateDer<'_>],
        provider: &CryptoProvider,
    ) -> Result<Self, webpki::Error> {
        let anchors = roots
            .iter()
            .map(|root| webpki::anchor_from_trusted_cert(root).map(|anchor| anchor.to_owned()))
            .collect::<Result<_, _>>()?;
        Ok(TrustRoots {
            anchors,
            algorithms: provider.signature_verification_algorithms,
        })
    }

    fn verify_chain(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
        usage: KeyUsage,
    ) -> Result<(), Error> {
        let leaf = EndEntityCert::try_from(leaf)
            .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
        leaf.verify_for_usage(
            self.algorithms.all,
            &self.anchors,
            intermediates,
            now,
            usage,
            None,
            None,
        )
        .map(|_| ())
        .map_err(chain_error)
    }
}

fn chain_error(error: webpki::Error) -> Error {
    let certificate_error = match error {
        webpki::Error::CertExpired { time, not_after } => {
            CertificateError::ExpiredContext { time, not_after }
        }
        webpki::Error::CertNotValidYet { time, not_before } => {
            CertificateError::NotValidYetContext { time, not_before }
        }
        webpki::Error::UnknownIssuer => CertificateError::UnknownIssuer,
        other => CertificateError::Other(OtherError(Arc::new(other))),
    };
    Error::InvalidCertificate(certificate_error)
}

/// The SPIFFE identity of a leaf: its first URI SAN, as stock peers read it.
pub fn peer_identity(leaf: &CertificateDer<'_>) -> Result<String, PeerIdentityError> {
    let leaf = EndEntityCert::try_from(leaf).map_err(|_| PeerIdentityError::Unparsable)?;
    let uri = leaf
        .valid_uri_names()
        .next()
        .ok_or(PeerIdentityError::NoUri)?;
    match trust_domain(uri) {
        Some(_) => Ok(uri.to_owned()),
        None => Err(PeerIdentityError::NotSpiffe(uri.to_owned())),
    }
}

/// How long a certificate still holds; nothing where it cannot be read.
pub fn remaining_validity(leaf: &CertificateDer<'_>, now: SystemTime) -> Duration {
    let end = x509_parser::parse_x509_certificate(leaf)
        .ok()
        .and_then(|(_, leaf)| u64::try_from(leaf.validity().not_after.timestamp()).ok())
        .map(|seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
    end.and_then(|end| end.duration_since(now).ok())
        .unwrap_or_default()
}

/// The trust domain of a well-formed identity, else none.
fn trust_domain(uri: &str) -> Option<&str> {
    let mut segments = uri.strip_prefix("spiffe://")?.split('/');
    let domain = segments.next()?;
    let labels = [
        segments.next()?,
        segments.next()?,
        segments.next()?,
        segments.next()?,
    ];
    let shaped = labels[0] == "ns" && labels[2] == "sa" && segments.next().is_none();
    let filled = ![domain, labels[1], labels[3]]
        .iter()
        .any(|part| part.is_empty());
    (shaped && filled).then_some(domain)
}

/// Who a server must be.
#[derive(Debug)]
pub(super) enum Expected {
    /// One of those that the destination may have.
    Identities(Arc<[Arc<str>]>),
    /// The bearer of the name that the connection is made for.
    Name,
}

impl Expected {
    fn verify(&self, leaf: &CertificateDer<'_>, name: &ServerName<'_>) -> Result<(), Error> {
        let Expected::Identities(identities) = self else {
            return verify_name(leaf, name);
        };
        let identity = peer_identity(leaf)?;
        if identities.iter().any(|expected| **expected == *identity) {
            return Ok(());
        }
        Err(PeerIdentityError::NotExpected(identity).into())
    }
}

fn verify_name(leaf: &CertificateDer<'_>, name: &ServerName<'_>) -> Result<(), Error> {
    EndEntityCert::try_from(leaf)
        .and_then(|leaf| leaf.verify_is_valid_for_subject_name(name))
        .map_err(|_| Error::InvalidCertificate(CertificateError::NotValidForName))
}

/// Accepts a server that is who it must be.
#[derive(Debug)]
pub(super) struct ExpectServer {
    pub roots: Arc<TrustRoots>,
    pub expected: Expected,
}

impl ServerCertVerifier for ExpectServer {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.roots
            .verify_chain(leaf, intermediates, now, KeyUsage::server_auth())?;
        self.expected
            .verify(leaf, name)
            .map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _leaf: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::PeerIncompatible(
            PeerIncompatible::Tls12NotOfferedOrEnabled,
        ))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, leaf, signature, &self.roots.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.roots.algorithms.supported_schemes()
    }
}

/// Accepts any client of a trust domain that we know; who may do what is for authorization.
#[derive(Debug)]
pub(super) struct AcceptClient {
    pub roots: Arc<TrustRoots>,
    pub trust_domains: Arc<[String]>,
}

impl ClientCertVerifier for AcceptClient {
    /// None: a list of issuers in the CertificateRequest would tell any scanner about the mesh.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.roots
            .verify_chain(leaf, intermediates, now, KeyUsage::client_auth())?;
        let identity = peer_identity(leaf)?;
        let domain = trust_domain(&identity).unwrap_or_default();
        if self.trust_domains.iter().any(|accepted| accepted == domain) {
            Ok(ClientCertVerified::assertion())
        } else {
            Err(PeerIdentityError::TrustDomain(domain.to_owned()).into())
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _leaf: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::PeerIncompatible(
            PeerIncompatible::Tls12NotOfferedOrEnabled,
        ))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, leaf, signature, &self.roots.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.roots.algorithms.supported_schemes()
    }
}

//! Certificates of a mesh made on the spot.

use ambit_engine::api::IdentityCertificate;
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType,
};

pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    root: String,
}

impl Authority {
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = parameters.self_signed(&key).unwrap();
        Authority {
            issuer: Issuer::new(parameters, key),
            root: root.pem(),
        }
    }

    pub fn issue(&self, spiffe_id: &str) -> IdentityCertificate {
        self.certify(spiffe_id, SanType::URI(spiffe_id.try_into().unwrap()))
    }

    /// For a server that is known by its name.
    pub fn issue_named(&self, name: &str) -> IdentityCertificate {
        self.certify(name, SanType::DnsName(name.try_into().unwrap()))
    }

    fn certify(&self, subject: &str, name: SanType) -> IdentityCertificate {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.subject_alt_names = vec![name];
        parameters.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let leaf = parameters.signed_by(&key, &self.issuer).unwrap();
        IdentityCertificate {
            spiffe_id: subject.into(),
            certificate_chain: leaf.pem(),
            private_key: key.serialize_pem(),
            roots: self.root.clone(),
        }
    }
}

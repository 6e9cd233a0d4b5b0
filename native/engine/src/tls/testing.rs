//! Certificates for tests, signed by a root made on the spot.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, SanType, string::Ia5String,
};

use crate::api::IdentityCertificate;

pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    root: String,
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    pub fn new() -> Self {
        let key = KeyPair::generate().expect("key");
        let mut parameters = CertificateParams::new(Vec::new()).expect("parameters");
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = parameters.self_signed(&key).expect("root");
        Authority {
            issuer: Issuer::new(parameters, key),
            root: root.pem(),
        }
    }

    pub fn issue(&self, spiffe_id: &str) -> IdentityCertificate {
        let both = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        self.issue_for(spiffe_id, vec![uri(spiffe_id)], both)
    }

    pub fn issue_for(
        &self,
        spiffe_id: &str,
        names: Vec<SanType>,
        usages: Vec<ExtendedKeyUsagePurpose>,
    ) -> IdentityCertificate {
        let key = KeyPair::generate().expect("key");
        let mut parameters = CertificateParams::new(Vec::new()).expect("parameters");
        parameters.distinguished_name = DistinguishedName::new();
        parameters.subject_alt_names = names;
        parameters.extended_key_usages = usages;
        let leaf = parameters.signed_by(&key, &self.issuer).expect("leaf");
        IdentityCertificate {
            spiffe_id: Arc::from(spiffe_id),
            certificate_chain: leaf.pem(),
            private_key: key.serialize_pem(),
            roots: self.root.clone(),
        }
    }
}

pub fn uri(text: &str) -> SanType {
    SanType::URI(Ia5String::try_from(text).expect("ASCII"))
}

//! Mutual TLS as HBONE wants it: TLS 1.3 only, ALPN h2, no SNI, no resumption, identities in URI SANs.

mod identities;
mod material;
mod verify;

pub use identities::{Credentials, IdentityStore};
pub use material::ALPN_H2;
pub use verify::{PeerIdentityError, TrustRoots, peer_identity, remaining_validity};

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

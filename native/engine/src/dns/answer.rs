//! Which queries the mesh answers itself, and how.

use std::net::IpAddr;

use domain::base::iana::Rtype;

use super::message::{self, Query};
use super::reverse;
use super::table::NameTable;

/// The mesh's answer within `limit` bytes. `None`: it is for the resolver, as everything is that the mesh has no name for.
///
/// A known name has addresses and nothing else of ours: other types go to the resolver, but for those whose records name
/// addresses, too (HTTPS and SVCB, RFC 9460), which would lead past the mesh, and the names of addresses that are ours alone.
pub fn from_mesh(
    names: &NameTable,
    identity: &str,
    query: &Query,
    bytes: &[u8],
    limit: usize,
) -> Option<Vec<u8>> {
    let name = query.name.as_deref().filter(|_| query.plain)?;
    let wanted: fn(&IpAddr) -> bool = match query.kind {
        Rtype::A => IpAddr::is_ipv4,
        Rtype::AAAA => IpAddr::is_ipv6,
        Rtype::HTTPS | Rtype::SVCB => |_| false,
        Rtype::PTR => return pointer(names, identity, name, bytes),
        _ => return None,
    };
    let record = names.find(name, namespace_of(identity))?;
    let mut addresses: Vec<_> = record.addresses.iter().copied().filter(wanted).collect();
    if addresses.len() > 1 {
        let first = usize::from(u16::from_be_bytes(random())) % addresses.len();
        addresses.rotate_left(first);
    }
    message::answer(bytes, &addresses, record.ttl, limit)
}

/// The host that the mesh has chosen an address for.
fn pointer(names: &NameTable, identity: &str, name: &str, bytes: &[u8]) -> Option<Vec<u8>> {
    let address = reverse::address(name)?;
    let record = names.find_host(address, namespace_of(identity))?;
    message::pointer(bytes, &record.name, record.ttl)
}

/// Of `spiffe://<trust domain>/ns/<namespace>/sa/<account>`.
fn namespace_of(identity: &str) -> &str {
    let rest = identity.split_once("/ns/").map_or("", |(_, rest)| rest);
    rest.split('/').next().unwrap_or_default()
}

/// Without the machine's random numbers nothing of ours works; an id of zeros is then the least of it.
pub fn random() -> [u8; 2] {
    let mut bytes = [0; 2];
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::namespace_of;

    #[test]
    fn the_namespace_is_that_of_the_identity() {
        let identity = "spiffe://cluster.local/ns/shop/sa/cart";
        assert_eq!(namespace_of(identity), "shop");
        assert_eq!(namespace_of("spiffe://cluster.local"), "");
    }
}

//! Addresses with port ranges.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

use crate::args::Usage;

/// `10.0.0.1:80`, `[fd00::1]:80` or `10.0.0.1:9000-9999`, one address a port.
pub fn expand(text: &str) -> Result<Vec<SocketAddr>, Usage> {
    let wrong = || {
        Usage(format!(
            "`{text}` is not ADDRESS:PORT or ADDRESS:FIRST-LAST"
        ))
    };
    let (host, ports) = text.rsplit_once(':').ok_or_else(wrong)?;
    let ip: IpAddr = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse()
        .map_err(|_| wrong())?;
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let first: u16 = first.parse().map_err(|_| wrong())?;
    let last: u16 = last.parse().map_err(|_| wrong())?;
    if first > last {
        return Err(wrong());
    }
    Ok((first..=last)
        .map(|port| SocketAddr::new(ip, port))
        .collect())
}

pub fn expand_all(texts: &[String]) -> Result<Vec<SocketAddr>, Usage> {
    let mut addresses = Vec::new();
    for text in texts {
        addresses.extend(expand(text)?);
    }
    if addresses.is_empty() {
        return Err(Usage("no address is given".into()));
    }
    Ok(addresses)
}

/// `::ffff:a.b.c.d`, the way dual-stack programs reach IPv4.
pub fn mapped(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) => {
            SocketAddr::V6(SocketAddrV6::new(v4.ip().to_ipv6_mapped(), v4.port(), 0, 0))
        }
        v6 => v6,
    }
}

/// Canonical text: a v4-mapped address is written as IPv4.
pub fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V6(v6) => SocketAddr::new(unmapped(v6), address.port()),
        IpAddr::V4(_) => address,
    }
}

fn unmapped(address: Ipv6Addr) -> IpAddr {
    address
        .to_ipv4_mapped()
        .map_or(IpAddr::V6(address), IpAddr::V4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_one_address_a_port() {
        let addresses = expand("[fd00::1]:9000-9002").expect("a range");
        assert_eq!(addresses.len(), 3);
        assert_eq!(addresses[2].to_string(), "[fd00::1]:9002");
    }

    #[test]
    fn a_range_backwards_is_refused() {
        assert!(expand("10.0.0.1:9-8").is_err());
    }

    #[test]
    fn mapped_and_canonical_are_inverse() {
        let address: SocketAddr = "10.1.2.3:80".parse().expect("an address");
        assert_eq!(mapped(address).to_string(), "[::ffff:10.1.2.3]:80");
        assert_eq!(canonical(mapped(address)), address);
    }
}

//! The binary header by which a proxy is told whose connection it is given: PROXY protocol version 2, section 2.2 of its
//! specification.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2; the connection is relayed for somebody, not the proxy's own.
const RELAYED: u8 = 0x21;
const TCP_OVER_IPV4: u8 = 0x11;
const TCP_OVER_IPV6: u8 = 0x21;
/// Of the signature, version, family and length: what the length does not count.
const FIXED: usize = 16;
/// Far above what a client's identity and names need, far below what the length could say.
pub const LONGEST: usize = 8 * 1024;

/// A header, whole after each step.
pub struct Header {
    bytes: Vec<u8>,
}

impl Header {
    /// Both addresses are of one family. Where the ends differ, IPv4 is written as `::ffff:a.b.c.d`.
    pub fn new(source: SocketAddr, destination: SocketAddr) -> Self {
        let mut bytes = Vec::with_capacity(512);
        bytes.extend(SIGNATURE);
        bytes.push(RELAYED);
        match (source.ip(), destination.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                bytes.extend([TCP_OVER_IPV4, 0, 0]);
                bytes.extend([from.octets(), to.octets()].concat());
            }
            (from, to) => {
                bytes.extend([TCP_OVER_IPV6, 0, 0]);
                bytes.extend([from, to].map(six).map(|address| address.octets()).concat());
            }
        }
        bytes.extend(source.port().to_be_bytes());
        bytes.extend(destination.port().to_be_bytes());
        let mut header = Header { bytes };
        header.note_length();
        header
    }

    /// Adds a value of a type; `false` where there is no room for it, and then nothing is added.
    #[must_use]
    pub fn add(&mut self, kind: u8, value: &[u8]) -> bool {
        let Some(length) = u16::try_from(value.len())
            .ok()
            .filter(|_| self.bytes.len() + 3 + value.len() <= LONGEST)
        else {
            return false;
        };
        self.bytes.push(kind);
        self.bytes.extend(length.to_be_bytes());
        self.bytes.extend(value);
        self.note_length();
        true
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn note_length(&mut self) {
        // Never longer than LONGEST.
        let length = u16::try_from(self.bytes.len() - FIXED).unwrap_or(u16::MAX);
        self.bytes[FIXED - 2..FIXED].copy_from_slice(&length.to_be_bytes());
    }
}

fn six(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(four) => four.to_ipv6_mapped(),
        IpAddr::V6(six) => six,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(source: &str, destination: &str) -> Header {
        Header::new(
            source.parse().expect("an address"),
            destination.parse().expect("an address"),
        )
    }

    /// The specification's signature in hexadecimal, as it prints it.
    const START: [u8; 12] = [
        0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A,
    ];

    #[test]
    fn ipv4_is_written_byte_by_byte() {
        let header = header("10.1.2.3:54321", "192.0.2.7:80");
        let rest = [
            0x21, 0x11, 0, 12, 10, 1, 2, 3, 192, 0, 2, 7, 0xD4, 0x31, 0, 80,
        ];
        assert_eq!(header.bytes(), [&START[..], &rest].concat());
    }

    #[test]
    fn ipv6_is_written_byte_by_byte() {
        let header = header("[fd00:a::1]:1024", "[2001:db8::2]:443");
        let mut rest = vec![0x21, 0x21, 0, 36];
        rest.extend([0xFD, 0, 0, 0x0A, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        rest.extend([0x20, 1, 0x0D, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
        rest.extend([4, 0, 1, 0xBB]);
        assert_eq!(header.bytes(), [&START[..], &rest].concat());
    }

    #[test]
    fn ends_of_two_families_are_both_ipv6() {
        let mapped = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 10, 1, 2, 3];
        let source = header("10.1.2.3:1", "[2001:db8::2]:2");
        let destination = header("[2001:db8::2]:2", "10.1.2.3:1");
        assert_eq!(source.bytes()[12..16], [0x21, 0x21, 0, 36]);
        assert_eq!(source.bytes()[16..32], mapped);
        assert_eq!(destination.bytes()[12..16], [0x21, 0x21, 0, 36]);
        assert_eq!(destination.bytes()[32..48], mapped);
    }

    #[test]
    fn values_follow_with_their_type_and_length() {
        let mut header = header("10.1.2.3:1", "10.1.2.4:2");
        assert!(header.add(0xD0, b"spiffe") && header.add(0xE3, b""));
        let values = [0xD0, 0, 6, b's', b'p', b'i', b'f', b'f', b'e', 0xE3, 0, 0];
        assert_eq!(header.bytes()[28..], values);
        assert_eq!(header.bytes()[14..16], [0, 24]);
    }

    #[test]
    fn what_does_not_fit_is_left_out_whole() {
        let mut header = header("10.1.2.3:1", "10.1.2.4:2");
        assert!(!header.add(0xE7, &vec![0; LONGEST]));
        assert_eq!(header.bytes().len(), 28);
        assert!(header.add(0xE7, &vec![0; LONGEST - 28 - 3]));
        assert!(!header.add(0xE6, b""));
        assert_eq!(header.bytes().len(), LONGEST);
    }

    /// Reads values as a receiver does, until the length that the header says.
    fn values(bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
        let length = usize::from(u16::from_be_bytes([bytes[14], bytes[15]]));
        assert_eq!(bytes.len(), 16 + length);
        let addresses = if bytes[13] == 0x11 { 12 } else { 36 };
        let (mut rest, mut read) = (&bytes[16 + addresses..], Vec::new());
        while let [kind, high, low, tail @ ..] = rest {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            let (value, behind) = tail.split_at(length);
            read.push((*kind, value.to_vec()));
            rest = behind;
        }
        assert!(rest.is_empty());
        read
    }

    proptest! {
        #[test]
        fn a_receiver_reads_what_was_added(
            source in any::<SocketAddr>(),
            destination in any::<SocketAddr>(),
            sizes in prop::collection::vec((any::<u8>(), 0_usize..70_000), 0..40),
        ) {
            let mut header = Header::new(source, destination);
            let mut added = Vec::new();
            for (kind, size) in sizes {
                let value = vec![kind; size];
                if header.add(kind, &value) {
                    added.push((kind, value));
                }
            }
            prop_assert!(header.bytes().len() <= LONGEST);
            prop_assert_eq!(values(header.bytes()), added);
        }
    }
}

//! Names that stand for addresses (RFC 1035, 3.5; RFC 3596, 2.5), for addresses that the mesh has chosen and nobody else knows.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether control planes choose addresses like this for hosts: of 240.240.0.0/16 and 2001:2::/48.
pub fn is_chosen(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(four) => four.octets()[..2] == [240, 240],
        IpAddr::V6(six) => six.segments()[..3] == [0x2001, 2, 0],
    }
}

/// `name` is in lower case. `None`: it stands for no whole address.
pub fn address(name: &str) -> Option<IpAddr> {
    if let Some(octets) = name.strip_suffix(".in-addr.arpa") {
        let mut four = [0; 4];
        fill(octets, &mut four, |octet| {
            // As everybody writes them: one text for each address.
            let value: u8 = octet.parse().ok()?;
            (value.to_string() == octet).then_some(value)
        })?;
        return Some(Ipv4Addr::from(four).into());
    }
    let mut nibbles = [0; 32];
    fill(name.strip_suffix(".ip6.arpa")?, &mut nibbles, |nibble| {
        let value = u8::from_str_radix(nibble, 16).ok()?;
        (nibble.len() == 1).then_some(value)
    })?;
    let octets: [u8; 16] = std::array::from_fn(|at| nibbles[2 * at] << 4 | nibbles[2 * at + 1]);
    Some(Ipv6Addr::from(octets).into())
}

/// The labels from the last to the first, each as one byte; as many as there is room for, and no more.
fn fill(labels: &str, bytes: &mut [u8], read: impl Fn(&str) -> Option<u8>) -> Option<()> {
    let mut labels = labels.rsplit('.');
    for byte in bytes {
        *byte = read(labels.next()?)?;
    }
    labels.next().is_none().then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_either_family_stands_for_its_address() {
        let six = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.2.0.0.0.1.0.0.2.ip6.arpa";
        assert_eq!(
            address("4.3.240.240.in-addr.arpa"),
            "240.240.3.4".parse().ok()
        );
        assert_eq!(address(six), "2001:2::1".parse().ok());
    }

    #[test]
    fn other_names_stand_for_none() {
        for name in [
            "3.240.240.in-addr.arpa",
            "5.4.3.240.240.in-addr.arpa",
            "04.3.240.240.in-addr.arpa",
            "+4.3.240.240.in-addr.arpa",
            "256.3.240.240.in-addr.arpa",
            "x.ip6.arpa",
            "ff.0.ip6.arpa",
            "in-addr.arpa",
            "4.3.240.240.example.com",
        ] {
            assert_eq!(address(name), None, "{name}");
        }
    }

    #[test]
    fn chosen_addresses_are_those_of_the_two_blocks() {
        let chosen = |text: &str| is_chosen(text.parse().expect("an address"));
        assert!(chosen("240.240.0.1") && chosen("2001:2::1"));
        assert!(!chosen("240.241.0.1") && !chosen("10.96.0.1") && !chosen("2001:2:1::1"));
    }
}

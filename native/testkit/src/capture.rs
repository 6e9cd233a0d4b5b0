//! Listens on an interface of the current network namespace and says what passed: instead of a tool for humans, and with
//! a count of what the kernel dropped, because "nothing was seen" proves nothing when not everything was looked at.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::Outcome;
use crate::args::Arguments;
use crate::report::{error_name, line};
use crate::{idle, system};

pub const HELP: &str = "capture --interface NAME [--needle TEXT]… [--duration MS]: prints a ready line, listens until its input ends or the \
duration is over, then tells packets, drops, TCP flags, flows and which needles occurred";

/// Distinct flows that are kept apart; the rest is only counted.
const FLOW_LIMIT: usize = 512;
const RECEIVE_BUFFER: i32 = 64 * 1024 * 1024;

#[derive(Default)]
struct Seen {
    packets: u64,
    bytes: u64,
    flags: BTreeMap<&'static str, u64>,
    flows: BTreeMap<String, u64>,
    other_flows: u64,
    needles: Vec<u64>,
}

pub fn run(mut arguments: Arguments) -> Outcome {
    let interface: String = arguments.required("interface")?;
    let needles: Vec<Vec<u8>> = arguments
        .all("needle")
        .into_iter()
        .map(String::into_bytes)
        .collect();
    let duration = arguments.milliseconds("duration", 60_000)?;
    arguments.finish()?;
    match listen(&interface, &needles, duration) {
        Ok((seen, dropped)) => {
            line(&describe(&seen, dropped, &needles));
            Ok(true)
        }
        Err(error) => {
            line(&json!({ "event": "failed", "error": error_name(&error) }));
            Ok(false)
        }
    }
}

fn listen(interface: &str, needles: &[Vec<u8>], duration: Duration) -> io::Result<(Seen, u32)> {
    let socket = system::packet_socket(system::interface_index(interface)?)?;
    // Without the right to exceed the limit the default stays; drops are counted either way.
    let _ = system::set_option(
        &socket,
        libc::SOL_SOCKET,
        libc::SO_RCVBUFFORCE,
        RECEIVE_BUFFER,
    );
    line(&json!({ "event": "ready", "interface": interface }));
    let over = AtomicBool::new(false);
    let mut seen = Seen {
        needles: vec![0; needles.len()],
        ..Seen::default()
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            idle::wait_for_end_of_input(duration);
            over.store(true, Ordering::Relaxed);
        });
        collect(&socket, needles, &mut seen, &over)
    })?;
    let (_, dropped) = system::packet_statistics(&socket)?;
    Ok((seen, dropped))
}

/// What is already queued when the end is announced is still read.
fn collect(
    socket: &OwnedFd,
    needles: &[Vec<u8>],
    seen: &mut Seen,
    over: &AtomicBool,
) -> io::Result<()> {
    let mut frame = vec![0_u8; 256 * 1024];
    let mut last_look = None;
    loop {
        if system::wait(socket, libc::POLLIN, Duration::from_millis(50))? {
            let count = system::receive(socket, &mut frame)?;
            seen.note(&frame[..count], needles);
        } else if over.load(Ordering::Relaxed) {
            return Ok(());
        }
        if over.load(Ordering::Relaxed)
            && last_look.get_or_insert_with(Instant::now).elapsed() > Duration::from_secs(5)
        {
            return Ok(());
        }
    }
}

impl Seen {
    fn note(&mut self, frame: &[u8], needles: &[Vec<u8>]) {
        self.packets += 1;
        self.bytes += frame.len() as u64;
        for (count, needle) in self.needles.iter_mut().zip(needles) {
            *count += u64::from(contains(frame, needle));
        }
        let Some(segment) = Segment::parse(frame) else {
            return;
        };
        for (name, bit) in [("FIN", 1), ("SYN", 2), ("RST", 4)] {
            if segment.flags & bit != 0 {
                *self.flags.entry(name).or_default() += 1;
            }
        }
        self.note_flow(segment);
    }

    fn note_flow(&mut self, segment: Segment) {
        let flow = segment.flow();
        if let Some(count) = self.flows.get_mut(&flow) {
            *count += 1;
        } else if self.flows.len() < FLOW_LIMIT {
            self.flows.insert(flow, 1);
        } else {
            self.other_flows += 1;
        }
    }
}

fn contains(frame: &[u8], needle: &[u8]) -> bool {
    !needle.is_empty() && frame.windows(needle.len()).any(|window| window == needle)
}

struct Segment {
    source: IpAddr,
    destination: IpAddr,
    destination_port: u16,
    source_port: u16,
    flags: u8,
}

impl Segment {
    /// A TCP segment in an Ethernet frame, without IPv6 extension headers; None for everything else.
    fn parse(frame: &[u8]) -> Option<Self> {
        let packet = frame.get(14..)?;
        let (source, destination, offset) =
            match u16::from_be_bytes([*frame.get(12)?, *frame.get(13)?]) {
                0x0800 if *packet.get(9)? == 6 => {
                    let header = usize::from(packet.first()? & 15) * 4;
                    (
                        IpAddr::V4(ipv4(packet.get(12..16)?)?),
                        IpAddr::V4(ipv4(packet.get(16..20)?)?),
                        header,
                    )
                }
                0x86dd if *packet.get(6)? == 6 => (
                    IpAddr::V6(ipv6(packet.get(8..24)?)?),
                    IpAddr::V6(ipv6(packet.get(24..40)?)?),
                    40,
                ),
                _ => return None,
            };
        let tcp = packet.get(offset..)?;
        let port = |at: usize| Some(u16::from_be_bytes([*tcp.get(at)?, *tcp.get(at + 1)?]));
        Some(Self {
            source,
            destination,
            source_port: port(0)?,
            destination_port: port(2)?,
            flags: *tcp.get(13)?,
        })
    }

    /// The well-known side keeps its port; the other's is left out, or every connection would be a flow of its own.
    fn flow(&self) -> String {
        if self.source_port < self.destination_port {
            format!(
                "{}:{} > {}",
                self.source, self.source_port, self.destination
            )
        } else {
            format!(
                "{} > {}:{}",
                self.source, self.destination, self.destination_port
            )
        }
    }
}

fn ipv4(bytes: &[u8]) -> Option<Ipv4Addr> {
    <[u8; 4]>::try_from(bytes).ok().map(Ipv4Addr::from)
}

fn ipv6(bytes: &[u8]) -> Option<Ipv6Addr> {
    <[u8; 16]>::try_from(bytes).ok().map(Ipv6Addr::from)
}

fn describe(seen: &Seen, dropped: u32, needles: &[Vec<u8>]) -> serde_json::Value {
    let found: serde_json::Map<String, serde_json::Value> = needles
        .iter()
        .zip(&seen.needles)
        .map(|(needle, count)| (String::from_utf8_lossy(needle).into_owned(), json!(count)))
        .collect();
    json!({
        "event": "done", "packets": seen.packets, "bytes": seen.bytes, "dropped": dropped,
        "needles": found, "flags": seen.flags, "flows": seen.flows, "otherFlows": seen.other_flows,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0_u8; 14 + 20 + 20];
        frame[12..14].copy_from_slice(&[0x08, 0x00]);
        frame[14] = 0x45;
        frame[14 + 9] = 6;
        frame[14 + 12..14 + 20].copy_from_slice(&[10, 0, 0, 1, 10, 0, 0, 2]);
        frame[34..38].copy_from_slice(&[0x9c, 0x40, 0x3a, 0xa0]); // 40000 to 15008
        frame[34 + 13] = 2;
        frame.extend_from_slice(payload);
        frame
    }

    #[test]
    fn flags_flows_and_needles_are_noted() {
        let mut seen = Seen {
            needles: vec![0; 2],
            ..Seen::default()
        };
        seen.note(
            &frame(b"..secret.."),
            &[b"secret".to_vec(), b"absent".to_vec()],
        );
        assert_eq!(seen.needles, [1, 0]);
        assert_eq!(seen.flags.get("SYN"), Some(&1));
        assert_eq!(
            seen.flows.keys().next().map(String::as_str),
            Some("10.0.0.1 > 10.0.0.2:15008")
        );
    }

    #[test]
    fn a_truncated_frame_is_counted_and_no_more() {
        let mut seen = Seen::default();
        for length in 0..48 {
            seen.note(&frame(b"")[..length], &[]);
        }
        assert_eq!(seen.packets, 48);
        assert!(seen.flows.is_empty());
    }

    #[test]
    fn flows_are_bounded() {
        let mut seen = Seen::default();
        for port in 0..2_000_u16 {
            let mut bytes = frame(b"");
            bytes[36..38].copy_from_slice(&port.to_be_bytes());
            seen.note(&bytes, &[]);
        }
        assert_eq!(seen.flows.len(), FLOW_LIMIT);
        assert!(seen.other_flows > 0);
    }
}

//! Name queries over UDP: a client that asks for one name again and again, and the answer of a server that knows every name.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::Outcome;
use crate::address::expand;
use crate::args::{Arguments, Usage};
use crate::histogram::Histogram;
use crate::report::{error_name, line};
use crate::workers;

pub const HELP: &str = "names ADDRESS NAME [--clients N] [--duration MS]: asks a name server for the addresses of a name";

/// What resolver libraries wait (resolv.conf(5)).
const PATIENCE: Duration = Duration::from_secs(5);
/// Of a header with its counts (RFC 1035, 4.1.1).
const HEADER: usize = 12;
/// Recursion is wished for; one question of type A, class IN.
const QUERY: [u8; HEADER] = [0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
/// A pointer to the question's name, type A, class IN, 30 s, 198.51.100.4.
const RECORD: [u8; 16] = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 30, 0, 4, 198, 51, 100, 4];

pub fn run(mut arguments: Arguments) -> Outcome {
    let words = arguments.words();
    let [address, name] = words.as_slice() else {
        return Err(Usage("an address and a name are needed".into()));
    };
    let server = expand(address)?[0];
    let query = query(name).ok_or_else(|| Usage(format!("`{name}` is no name")))?;
    let clients: usize = arguments.value("clients", 1)?;
    let duration = arguments.milliseconds("duration", 3_000)?;
    arguments.finish()?;
    let begun = Instant::now();
    let results = workers::run(clients, |_| ask(server, &query, duration));
    let seconds = begun.elapsed().as_secs_f64();
    let mut all = Tally::default();
    let mut failures = Vec::new();
    for result in results {
        match result {
            Ok(tally) => all.add(&tally),
            Err(error) => failures.push(error_name(&error)),
        }
    }
    let answered = all.latency.total();
    line(&json!({
        "answered": answered, "lost": all.lost, "wrong": all.wrong, "clients": clients, "seconds": seconds,
        "failures": failures, "rate": answered as f64 / seconds,
        "p50": all.latency.percentile(50.0), "p99": all.latency.percentile(99.0),
    }));
    Ok(failures.is_empty() && answered > 0 && all.lost + all.wrong == 0)
}

#[derive(Default)]
struct Tally {
    latency: Histogram,
    lost: u64,
    /// Answers without an address.
    wrong: u64,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.latency.merge(&other.latency);
        self.lost += other.lost;
        self.wrong += other.wrong;
    }
}

/// `None`: a label is empty or too long.
fn query(name: &str) -> Option<Vec<u8>> {
    let mut bytes = QUERY.to_vec();
    for label in name.split('.') {
        let length = u8::try_from(label.len()).ok()?;
        if !(1..64).contains(&length) {
            return None;
        }
        bytes.push(length);
        bytes.extend(label.as_bytes());
    }
    bytes.extend([0, 0, 1, 0, 1]);
    Some(bytes)
}

fn ask(server: SocketAddr, query: &[u8], duration: Duration) -> io::Result<Tally> {
    let any = if server.is_ipv4() {
        "0.0.0.0:0"
    } else {
        "[::]:0"
    };
    let socket = UdpSocket::bind(any)?;
    socket.connect(server)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut query = query.to_vec();
    let mut tally = Tally::default();
    let begun = Instant::now();
    let mut id = 0_u16;
    while begun.elapsed() < duration {
        id = id.wrapping_add(1);
        query[..2].copy_from_slice(&id.to_be_bytes());
        let asked = Instant::now();
        socket.send(&query)?;
        match hear(&socket, id) {
            Ok(true) => tally.latency.record(asked.elapsed()),
            Ok(false) => tally.wrong += 1,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                tally.lost += 1;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(tally)
}

/// Whether the answer to a query has an address. Late answers to others are passed over.
fn hear(socket: &UdpSocket, id: u16) -> io::Result<bool> {
    let mut reply = [0; 512];
    loop {
        let length = socket.recv(&mut reply)?;
        if length >= HEADER && reply[..2] == id.to_be_bytes() {
            let (code, records) = (reply[3] & 15, u16::from_be_bytes([reply[6], reply[7]]));
            return Ok(code == 0 && records > 0);
        }
    }
}

/// Makes the answer of a query, which stands in `message`; its length. `None`: it is no query with one question alone.
pub fn answer(message: &mut [u8], length: usize) -> Option<usize> {
    let end = length.checked_add(RECORD.len())?;
    if length < HEADER || message[2] & 0x80 != 0 || message[4..HEADER] != QUERY[4..] {
        return None;
    }
    // An answer with recursion, and one record.
    message[2] |= 0x80;
    message[3] = 0x80;
    message[7] = 1;
    message.get_mut(length..end)?.copy_from_slice(&RECORD);
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_answered_with_an_address() {
        let mut message = query("a.example.com").expect("a name");
        let length = message.len();
        message.resize(512, 0);
        let end = answer(&mut message, length).expect("a query");
        assert_eq!(end, length + RECORD.len());
        assert_eq!(message[end - 4..end], [198, 51, 100, 4]);
        assert_eq!(answer(&mut message, end), None, "an answer is no query");
    }

    #[test]
    fn names_have_labels_that_fit() {
        assert_eq!(query("a..b"), None);
        assert_eq!(query(&"a".repeat(64)), None);
    }
}

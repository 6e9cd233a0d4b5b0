//! One request to each of some addresses, and everything that an application could notice about it.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::Instant;

use serde_json::{Value, json};
use socket2::Socket;

use crate::address::expand_all;
use crate::args::{Arguments, Usage};
use crate::connection::{self, Options, Variant};
use crate::report::{error_name, line};
use crate::{Outcome, system};

pub const HELP: &str = "call ADDRESS… [--send TEXT] [--until line|eof|bytes|none] [--bytes N] [--half-close] [--reuse | --together] \
[connection options]: one JSON line an address";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    Line,
    Eof,
    /// As many bytes as were sent.
    Bytes,
    Nothing,
}

impl std::str::FromStr for Until {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Ok(match text {
            "line" => Self::Line,
            "eof" => Self::Eof,
            "bytes" => Self::Bytes,
            "none" => Self::Nothing,
            _ => return Err(()),
        })
    }
}

struct Request {
    payload: Vec<u8>,
    until: Until,
    half_close: bool,
}

/// Text that is shown in a result line is cut here; the count of bytes is not.
const TEXT_LIMIT: usize = 1024;

#[derive(Default)]
struct Trace {
    phase: &'static str,
    connected: bool,
    peer: Option<SocketAddr>,
    local: Option<SocketAddr>,
    sent: usize,
    received: usize,
    text: Vec<u8>,
    end: &'static str,
    connect_micros: u128,
}

pub fn run(mut arguments: Arguments) -> Outcome {
    let addresses = expand_all(&arguments.words())?;
    let options = Options::take(&mut arguments)?;
    let request = take_request(&mut arguments)?;
    let (reuse, together) = (arguments.switch("reuse")?, arguments.switch("together")?);
    arguments.finish()?;
    let mut kept = Vec::new();
    let mut all = true;
    let mut recycled = None;
    for to in addresses {
        let (socket, ok) = one(to, &request, &options, recycled.take());
        all &= ok;
        match socket {
            Some(socket) if together => kept.push(socket),
            Some(socket) if reuse => recycled = Some(socket),
            _ => {}
        }
    }
    Ok(all)
}

fn take_request(arguments: &mut Arguments) -> Result<Request, Usage> {
    let bytes: usize = arguments.value("bytes", 0)?;
    let text = arguments.text("send").unwrap_or_else(|| "hello".into());
    let payload = if bytes > 0 {
        vec![b'x'; bytes]
    } else {
        format!("{text}\n").into_bytes()
    };
    Ok(Request {
        payload,
        until: arguments.value("until", Until::Line)?,
        half_close: arguments.switch("half-close")?,
    })
}

fn one(
    to: SocketAddr,
    request: &Request,
    options: &Options,
    recycled: Option<Socket>,
) -> (Option<Socket>, bool) {
    let begun = Instant::now();
    let mut trace = Trace {
        phase: "socket",
        end: "none",
        ..Trace::default()
    };
    let mut socket = None;
    let outcome = attempt(to, request, options, recycled, &mut trace, &mut socket);
    line(&describe(to, &trace, &outcome, begun));
    (socket, outcome.is_ok())
}

fn attempt(
    to: SocketAddr,
    request: &Request,
    options: &Options,
    recycled: Option<Socket>,
    trace: &mut Trace,
    keep: &mut Option<Socket>,
) -> io::Result<()> {
    let socket = match recycled {
        Some(old) => {
            system::disconnect(&old)?;
            old
        }
        None => connection::prepare(to, options)?,
    };
    let socket = keep.insert(socket);
    trace.phase = "connect";
    let begun = Instant::now();
    trace.sent = connection::connect(socket, to, &request.payload, options)?;
    trace.connect_micros = begun.elapsed().as_micros();
    trace.connected = true;
    note_names(socket, trace);
    trace.phase = "send";
    socket.write_all(&request.payload[trace.sent..])?;
    trace.sent = request.payload.len();
    if request.half_close {
        socket.shutdown(Shutdown::Write)?;
    }
    // A Fast Open connect has no names before the handshake that the first write starts.
    note_names(socket, trace);
    trace.phase = "receive";
    receive(socket, request, options.variant, trace)?;
    trace.phase = "done";
    Ok(())
}

fn note_names(socket: &Socket, trace: &mut Trace) {
    // A connection that has ended meanwhile has no names left; the ones noted before stand.
    trace.peer = socket
        .peer_addr()
        .ok()
        .and_then(|name| name.as_socket())
        .or(trace.peer);
    trace.local = socket
        .local_addr()
        .ok()
        .and_then(|name| name.as_socket())
        .or(trace.local);
}

fn receive(
    socket: &mut Socket,
    request: &Request,
    variant: Variant,
    trace: &mut Trace,
) -> io::Result<()> {
    let mut buffer = vec![0_u8; 64 * 1024];
    trace.end = "open";
    while !complete(request, variant, trace) {
        let count = match socket.read(&mut buffer) {
            Ok(count) => count,
            // A read with a time limit is not begun anew by the kernel, and io_uring's own work interrupts it (signal(7)).
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                trace.end = end_of(&error);
                return Err(error);
            }
        };
        if count == 0 {
            trace.end = "fin";
            return if request.until == Until::Eof {
                Ok(())
            } else {
                Err(io::ErrorKind::UnexpectedEof.into())
            };
        }
        trace.received += count;
        let room = TEXT_LIMIT.saturating_sub(trace.text.len());
        trace.text.extend_from_slice(&buffer[..count.min(room)]);
    }
    Ok(())
}

fn complete(request: &Request, variant: Variant, trace: &Trace) -> bool {
    match request.until {
        Until::Nothing => true,
        Until::Eof => false,
        Until::Bytes => trace.received >= request.payload.len(),
        Until::Line if variant == Variant::Udp => trace.received > 0,
        Until::Line => trace.text.contains(&b'\n') || trace.text.len() >= TEXT_LIMIT,
    }
}

fn end_of(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::ECONNRESET) => "reset",
        Some(libc::EAGAIN) => "timeout",
        _ => "error",
    }
}

fn describe(to: SocketAddr, trace: &Trace, outcome: &io::Result<()>, begun: Instant) -> Value {
    json!({
        "destination": to.to_string(),
        "ok": outcome.is_ok(),
        "connected": trace.connected,
        "phase": trace.phase,
        "error": outcome.as_ref().err().map(error_name),
        "peer": trace.peer.map(|name| name.to_string()),
        "local": trace.local.map(|name| name.to_string()),
        "sent": trace.sent,
        "received": trace.received,
        "text": String::from_utf8_lossy(&trace.text).trim_end(),
        "end": trace.end,
        "connectMicros": trace.connect_micros as u64,
        "durationMicros": begun.elapsed().as_micros() as u64,
    })
}

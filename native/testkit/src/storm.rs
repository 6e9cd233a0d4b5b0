//! Short connections, many of them: connect, one round trip, close.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::Outcome;
use crate::address::expand_all;
use crate::args::{Arguments, Usage};
use crate::connection::{self, Options};
use crate::histogram::Histogram;
use crate::report::{error_name, line};
use crate::workers;

pub const HELP: &str = "storm ADDRESS… [--count N | --duration MS] [--clients N] [--close fin|reset|server] [--bytes N] \
[connection options]: connections to the addresses in turn, over all clients together";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Close {
    Fin,
    Reset,
    /// The server closes first, so TIME_WAIT is its.
    Server,
}

impl std::str::FromStr for Close {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Ok(match text {
            "fin" => Self::Fin,
            "reset" => Self::Reset,
            "server" => Self::Server,
            _ => return Err(()),
        })
    }
}

struct Plan {
    addresses: Vec<SocketAddr>,
    count: usize,
    duration: Duration,
    clients: usize,
    close: Close,
    bytes: usize,
    options: Options,
}

#[derive(Default)]
struct Tally {
    latency: Histogram,
    per_second: Vec<u64>,
    failures: BTreeMap<String, u64>,
    failed: Vec<Value>,
}

/// Connections that are told of one by one, for each client; the others are counted only.
const TOLD: usize = 20;

/// How far a connection came.
#[derive(Default)]
struct Trace {
    local: Option<SocketAddr>,
    phase: Phase,
}

#[derive(Clone, Copy, Default)]
enum Phase {
    #[default]
    Connect,
    Send,
    Receive,
}

impl Phase {
    fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Send => "send",
            Self::Receive => "receive",
        }
    }
}

pub fn run(mut arguments: Arguments) -> Outcome {
    let plan = take_plan(&mut arguments)?;
    arguments.finish()?;
    let next = AtomicUsize::new(0);
    let begun = Instant::now();
    let tallies = workers::run(plan.clients, |_| client(&plan, &next, begun));
    Ok(report(&plan, &tallies, begun.elapsed()))
}

fn take_plan(arguments: &mut Arguments) -> Result<Plan, Usage> {
    let addresses = expand_all(&arguments.words())?;
    let count = arguments.optional("count")?;
    let duration =
        arguments.milliseconds("duration", if count.is_some() { 600_000 } else { 5_000 })?;
    let clients: usize = arguments.value("clients", 1)?;
    if clients == 0 || clients > 512 {
        return Err(Usage("--clients: 1 to 512".into()));
    }
    Ok(Plan {
        addresses,
        count: count.unwrap_or(usize::MAX),
        duration,
        clients,
        close: arguments.value("close", Close::Fin)?,
        bytes: arguments.value("bytes", 32_usize)?.max(1),
        options: Options::take(arguments)?,
    })
}

fn client(plan: &Plan, next: &AtomicUsize, begun: Instant) -> Tally {
    let mut tally = Tally::default();
    let payload = vec![b'x'; plan.bytes];
    let mut buffer = vec![0_u8; plan.bytes];
    while begun.elapsed() < plan.duration {
        let turn = next.fetch_add(1, Ordering::Relaxed);
        if turn >= plan.count {
            break;
        }
        let to = plan.addresses[turn % plan.addresses.len()];
        let started = Instant::now();
        let mut trace = Trace::default();
        match once(to, plan, &payload, &mut buffer, &mut trace) {
            Ok(()) => tally.success(started, begun),
            Err(error) => tally.failure(&error_name(&error), to, started, &trace),
        }
    }
    tally
}

impl Tally {
    fn success(&mut self, started: Instant, begun: Instant) {
        self.latency.record(started.elapsed());
        let second = begun.elapsed().as_secs() as usize;
        if self.per_second.len() <= second {
            self.per_second.resize(second + 1, 0);
        }
        self.per_second[second] += 1;
    }

    fn failure(&mut self, error: &str, to: SocketAddr, started: Instant, trace: &Trace) {
        *self.failures.entry(error.to_string()).or_default() += 1;
        if self.failed.len() >= TOLD {
            return;
        }
        self.failed.push(json!({
            "at": SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64),
            "error": error,
            "phase": trace.phase.name(),
            "local": trace.local.map(|address| address.to_string()),
            "destination": to.to_string(),
            "milliseconds": started.elapsed().as_millis() as u64,
        }));
    }
}

fn once(
    to: SocketAddr,
    plan: &Plan,
    payload: &[u8],
    buffer: &mut [u8],
    trace: &mut Trace,
) -> io::Result<()> {
    let mut socket = connection::open(to, &plan.options)?;
    trace.local = socket
        .local_addr()
        .ok()
        .and_then(|address| address.as_socket());
    trace.phase = Phase::Send;
    socket.write_all(payload)?;
    trace.phase = Phase::Receive;
    socket.read_exact(buffer)?;
    match plan.close {
        Close::Fin => Ok(()),
        Close::Reset => socket.set_linger(Some(Duration::ZERO)),
        Close::Server => match socket.read(&mut [0_u8; 1])? {
            0 => Ok(()),
            _ => Err(io::Error::other("more bytes than were sent")),
        },
    }
}

fn report(plan: &Plan, tallies: &[Tally], took: Duration) -> bool {
    let mut latency = Histogram::default();
    let mut failures = BTreeMap::<&str, u64>::new();
    let mut per_second = vec![
        0_u64;
        tallies
            .iter()
            .map(|tally| tally.per_second.len())
            .max()
            .unwrap_or(0)
    ];
    for tally in tallies {
        latency.merge(&tally.latency);
        for (name, count) in &tally.failures {
            *failures.entry(name).or_default() += count;
        }
        for (sum, count) in per_second.iter_mut().zip(&tally.per_second) {
            *sum += count;
        }
    }
    line(&json!({
        "connections": latency.total(),
        "failures": failures,
        "failed": tallies.iter().flat_map(|tally| &tally.failed).collect::<Vec<_>>(),
        "clients": plan.clients,
        "seconds": took.as_secs_f64(),
        "rate": latency.total() as f64 / took.as_secs_f64(),
        "perSecond": per_second,
        "p50": latency.percentile(50.0),
        "p99": latency.percentile(99.0),
    }));
    failures.is_empty() && latency.total() > 0
}

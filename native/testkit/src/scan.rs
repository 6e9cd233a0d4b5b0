//! A pod that tries one address after the other, or one port: the load under which nobody else's new flows may suffer.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use serde_json::json;
use socket2::Socket;

use crate::Outcome;
use crate::args::{Arguments, Usage};
use crate::connection::{self, Options};
use crate::report::{error_name, line};
use crate::system;

pub const HELP: &str = "scan IP --port N [--count N] [--ports] [--in-flight N] [--duration MS] [connection options]: non-blocking \
connects to IP, IP + 1, …, with --ports to N, N + 1, … of the one IP; each is reset as soon as --in-flight later ones are under way";

struct Plan {
    first: IpAddr,
    port: u16,
    /// Step through ports instead of addresses.
    ports: bool,
    count: u32,
    in_flight: usize,
    duration: Duration,
    options: Options,
}

#[derive(Default)]
struct Tally {
    started: u32,
    failures: BTreeMap<String, u64>,
}

pub fn run(mut arguments: Arguments) -> Outcome {
    let plan = take_plan(&mut arguments)?;
    arguments.finish()?;
    system::raise_descriptor_limit();
    let begun = Instant::now();
    let mut tally = Tally::default();
    let mut open = VecDeque::with_capacity(plan.in_flight);
    while tally.started < plan.count && begun.elapsed() < plan.duration {
        let outcome = begin(target(&plan, tally.started), &plan.options);
        tally.started += 1;
        match outcome {
            Ok(socket) => open.push_back(socket),
            Err(error) => *tally.failures.entry(error_name(&error)).or_default() += 1,
        }
        if open.len() > plan.in_flight {
            open.pop_front();
        }
    }
    line(&json!({
        "event": "scanned",
        "started": tally.started,
        "failures": tally.failures,
        "seconds": begun.elapsed().as_secs_f64(),
    }));
    Ok(tally.started == plan.count)
}

fn take_plan(arguments: &mut Arguments) -> Result<Plan, Usage> {
    let words = arguments.words();
    let [first] = words.as_slice() else {
        return Err(Usage("one IP is needed".into()));
    };
    let first = first
        .parse()
        .map_err(|_| Usage(format!("`{first}` is no IP")))?;
    let (ports, port) = (arguments.switch("ports")?, arguments.required("port")?);
    let count = arguments.value("count", 1000)?;
    if ports && count > u32::from(u16::MAX - port) {
        return Err(Usage(format!("--count: no {count} ports follow {port}")));
    }
    Ok(Plan {
        first,
        port,
        ports,
        count,
        in_flight: arguments.value("in-flight", 256_usize)?.clamp(1, 4096),
        duration: arguments.milliseconds("duration", 60_000)?,
        options: Options::take(arguments)?,
    })
}

fn target(plan: &Plan, turn: u32) -> SocketAddr {
    if plan.ports {
        return SocketAddr::new(plan.first, plan.port.wrapping_add(turn as u16));
    }
    let address = match plan.first {
        IpAddr::V4(v4) => Ipv4Addr::from(u32::from(v4).wrapping_add(turn)).into(),
        IpAddr::V6(v6) => Ipv6Addr::from(u128::from(v6).wrapping_add(turn.into())).into(),
    };
    SocketAddr::new(address, plan.port)
}

/// Linger of no time at all, so that the end is a reset and leaves no TIME_WAIT that would use up our ports.
fn begin(to: SocketAddr, options: &Options) -> io::Result<Socket> {
    let socket = connection::prepare(to, options)?;
    socket.set_linger(Some(Duration::ZERO))?;
    socket.set_nonblocking(true)?;
    match socket.connect(&options.target(to).into()) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        _ => Ok(socket),
    }
}

//! Round trips over open connections.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::Outcome;
use crate::address::expand;
use crate::args::{Arguments, Usage};
use crate::connection::{self, Options};
use crate::histogram::Histogram;
use crate::report::{error_name, line};
use crate::workers;

pub const HELP: &str = "pingpong ADDRESS [--bytes N] [--clients N] [--duration MS] [connection options]: against an echo server";

pub fn run(mut arguments: Arguments) -> Outcome {
    let words = arguments.words();
    let [address] = words.as_slice() else {
        return Err(Usage("one address is needed".into()));
    };
    let to = expand(address)?[0];
    let bytes = arguments.value("bytes", 100_usize)?.max(1);
    let clients: usize = arguments.value("clients", 1)?;
    let duration = arguments.milliseconds("duration", 3_000)?;
    let options = Options::take(&mut arguments)?;
    arguments.finish()?;
    let begun = Instant::now();
    let results = workers::run(clients, |_| client(to, bytes, duration, &options));
    let seconds = begun.elapsed().as_secs_f64();
    let mut latency = Histogram::default();
    let mut failures = Vec::new();
    for result in &results {
        match result {
            Ok(histogram) => latency.merge(histogram),
            Err(name) => failures.push(name),
        }
    }
    line(&json!({
        "roundTrips": latency.total(), "clients": clients, "seconds": seconds, "failures": failures,
        "rate": latency.total() as f64 / seconds,
        "p50": latency.percentile(50.0), "p99": latency.percentile(99.0),
    }));
    Ok(failures.is_empty() && latency.total() > 0)
}

fn client(
    to: SocketAddr,
    bytes: usize,
    duration: Duration,
    options: &Options,
) -> Result<Histogram, String> {
    let mut socket = connection::open(to, options).map_err(|error| error_name(&error))?;
    let payload = vec![b'x'; bytes];
    let mut back = vec![0_u8; bytes];
    let mut latency = Histogram::default();
    let begun = Instant::now();
    while begun.elapsed() < duration {
        let started = Instant::now();
        socket
            .write_all(&payload)
            .map_err(|error| error_name(&error))?;
        socket
            .read_exact(&mut back)
            .map_err(|error| error_name(&error))?;
        latency.record(started.elapsed());
    }
    Ok(latency)
}

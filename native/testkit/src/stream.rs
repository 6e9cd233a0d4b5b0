//! Bulk transfer, up (against a sink), down (against a source) or both at once.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::Outcome;
use crate::address::expand;
use crate::args::{Arguments, Usage};
use crate::connection::{self, Options};
use crate::report::{error_name, line};
use crate::workers;

pub const HELP: &str = "stream ADDRESS [--direction up|down] [--streams N] [--duration MS] [connection options]: \
up against a sink, down against a source";

const CHUNK: usize = 256 * 1024;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
}

impl FromStr for Direction {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "up" => Ok(Self::Up),
            "down" => Ok(Self::Down),
            _ => Err(()),
        }
    }
}

pub fn run(mut arguments: Arguments) -> Outcome {
    let words = arguments.words();
    let [address] = words.as_slice() else {
        return Err(Usage("one address is needed".into()));
    };
    let to = expand(address)?[0];
    let direction = arguments.value("direction", Direction::Up)?;
    let streams: usize = arguments.value("streams", 1)?;
    let duration = arguments.milliseconds("duration", 3_000)?;
    let options = Options::take(&mut arguments)?;
    arguments.finish()?;
    let begun = Instant::now();
    let results = workers::run(streams, |index| {
        transfer(to, direction, duration, &options, index)
    });
    let seconds = begun.elapsed().as_secs_f64();
    let bytes: u64 = results.iter().flatten().sum();
    let failures: Vec<String> = results
        .iter()
        .filter_map(|result| result.as_ref().err())
        .map(error_name)
        .collect();
    line(&json!({
        "bytes": bytes, "streams": streams, "seconds": seconds, "failures": failures,
        "gigabitsPerSecond": bytes as f64 * 8.0 / seconds / 1e9,
    }));
    Ok(failures.is_empty() && bytes > 0)
}

fn transfer(
    to: SocketAddr,
    direction: Direction,
    duration: Duration,
    options: &Options,
    index: usize,
) -> io::Result<u64> {
    let mut socket = connection::open(to, options)?;
    let mut buffer = vec![0_u8; CHUNK];
    workers::pattern(&mut buffer, index);
    let begun = Instant::now();
    let mut total = 0;
    while begun.elapsed() < duration {
        total += match direction {
            Direction::Up => socket.write(&buffer)?,
            Direction::Down => socket.read(&mut buffer)?,
        } as u64;
    }
    Ok(total)
}

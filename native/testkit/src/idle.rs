//! Many open connections that do nothing, to see what one costs.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::Duration;

use serde_json::json;
use socket2::Socket;

use crate::address::expand_all;
use crate::args::Arguments;
use crate::connection::{self, Options};
use crate::report::{error_name, line};
use crate::{Outcome, system};

pub const HELP: &str = "idle ADDRESS… [--count N] [--duration MS] [connection options]: opens N connections to echo servers, proves \
each once, holds them until its input ends, then proves each again";

pub fn run(mut arguments: Arguments) -> Outcome {
    let addresses = expand_all(&arguments.words())?;
    let count: usize = arguments.value("count", 1000)?;
    let duration = arguments.milliseconds("duration", 600_000)?;
    let options = Options::take(&mut arguments)?;
    arguments.finish()?;
    system::raise_descriptor_limit();
    let mut open = Vec::with_capacity(count);
    for turn in 0..count {
        match establish(addresses[turn % addresses.len()], &options) {
            Ok(socket) => open.push(socket),
            Err(error) => {
                line(
                    &json!({ "event": "failed", "open": open.len(), "error": error_name(&error) }),
                );
                return Ok(false);
            }
        }
    }
    line(&json!({ "event": "ready", "open": open.len() }));
    wait_for_end_of_input(duration);
    let alive = open
        .iter_mut()
        .filter_map(|socket| prove(socket).ok())
        .count();
    line(&json!({ "event": "done", "open": open.len(), "alive": alive }));
    Ok(alive == count)
}

fn establish(to: SocketAddr, options: &Options) -> std::io::Result<Socket> {
    let mut socket = connection::open(to, options)?;
    prove(&mut socket)?;
    Ok(socket)
}

fn prove(socket: &mut Socket) -> std::io::Result<()> {
    socket.write_all(b"?")?;
    socket.read_exact(&mut [0_u8; 1])
}

pub fn wait_for_end_of_input(limit: Duration) {
    let (ended, end) = mpsc::channel::<()>();
    std::thread::spawn(move || {
        let mut rest = Vec::new();
        // Whatever way the input ends, it has ended.
        let _ = std::io::stdin().lock().read_to_end(&mut rest);
        drop(ended);
    });
    let _ = end.recv_timeout(limit);
}

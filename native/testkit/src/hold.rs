//! Connections that stay open and do what standard input says: for what must survive while the mesh changes around it.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use socket2::Socket;

use crate::Outcome;
use crate::address::expand_all;
use crate::args::Arguments;
use crate::connection::{self, Options};
use crate::report::{error_name, line};
use crate::watch::watch;

pub const HELP: &str = "hold ADDRESS… [--count N each] [--exchange BYTES on each before the next] [--duration MS] [connection options]: then on standard input, one a line: \
exchange ID BYTES | send ID BYTES | receive ID BYTES | read ID | half-close ID | close ID | reset ID | watch COUNT MS; ends with its input";

pub fn run(mut arguments: Arguments) -> Outcome {
    let addresses = expand_all(&arguments.words())?;
    let options = Options::take(&mut arguments)?;
    let count: usize = arguments.value("count", 1)?;
    let exchanged: usize = arguments.value("exchange", 0)?;
    let duration = arguments.milliseconds("duration", 600_000)?;
    arguments.finish()?;
    let targets = addresses
        .iter()
        .flat_map(|to| std::iter::repeat_n(*to, count));
    let mut open = BTreeMap::new();
    let mut all = true;
    for (id, to) in targets.enumerate() {
        all &= establish(id, to, (&options, exchanged), &mut open);
    }
    line(&json!({ "event": "ready", "open": open.len() }));
    all &= obey(&mut open, duration);
    Ok(all)
}

fn establish(
    id: usize,
    to: SocketAddr,
    (options, exchanged): (&Options, usize),
    open: &mut BTreeMap<usize, Socket>,
) -> bool {
    // A connect through a proxy has only reached the proxy: bytes that came back have been at the server.
    let opened = connection::open(to, options)
        .and_then(|mut socket| exchange(&mut socket, exchanged).map(|_| socket));
    match opened {
        Ok(socket) => {
            let local = socket
                .local_addr()
                .ok()
                .and_then(|name| name.as_socket())
                .map(|name| name.to_string());
            line(
                &json!({ "event": "opened", "id": id, "destination": to.to_string(), "local": local }),
            );
            open.insert(id, socket);
            true
        }
        Err(error) => {
            line(
                &json!({ "event": "failed", "id": id, "destination": to.to_string(), "error": error_name(&error) }),
            );
            false
        }
    }
}

/// Input is read on a thread of its own, since a blocking read of it knows no time limit.
fn obey(open: &mut BTreeMap<usize, Socket>, duration: Duration) -> bool {
    let (sender, commands) = mpsc::sync_channel::<String>(64);
    thread::spawn(move || {
        for text in io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(text).is_err() {
                return;
            }
        }
    });
    let deadline = Instant::now() + duration;
    let mut all = true;
    while let Ok(text) = commands.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        let result = command(&text, open);
        all &= result.get("error").is_none_or(Value::is_null);
        line(&result);
    }
    all
}

fn command(text: &str, open: &mut BTreeMap<usize, Socket>) -> Value {
    let mut words = text.split_whitespace();
    let verb = words.next().unwrap_or_default();
    let id = words.next().and_then(|word| word.parse::<usize>().ok());
    let bytes = words
        .next()
        .map_or(Some(0), |word| word.parse::<usize>().ok());
    let (Some(id), Some(bytes)) = (id, bytes) else {
        return json!({ "event": verb, "error": "not understood" });
    };
    if verb == "watch" {
        return watch(open, id, Duration::from_millis(bytes as u64));
    }
    if matches!(verb, "close" | "reset") {
        return json!({ "event": verb, "id": id, "error": close(open.remove(&id), verb == "reset") });
    }
    let Some(socket) = open.get_mut(&id) else {
        return json!({ "event": verb, "id": id, "error": "no such connection" });
    };
    let done = match verb {
        "exchange" => exchange(socket, bytes),
        "send" => socket
            .write_all(&vec![b'x'; bytes])
            .map(|()| (bytes, "open")),
        "receive" => socket
            .read_exact(&mut vec![0_u8; bytes])
            .map(|()| (bytes, "open")),
        "read" => read_to_end(socket),
        "half-close" => socket
            .shutdown(Shutdown::Write)
            .map(|()| (0, "half-closed")),
        _ => Err(io::Error::from_raw_os_error(libc::EINVAL)),
    };
    match done {
        Ok((bytes, end)) => {
            json!({ "event": verb, "id": id, "bytes": bytes, "end": end, "error": null })
        }
        Err(error) => json!({ "event": verb, "id": id, "error": error_name(&error) }),
    }
}

fn close(socket: Option<Socket>, reset: bool) -> Option<String> {
    let Some(socket) = socket else {
        return Some("no such connection".into());
    };
    // Lingering for no time at all is how an application resets a connection.
    let linger = if reset {
        socket.set_linger(Some(Duration::ZERO))
    } else {
        Ok(())
    };
    linger.err().as_ref().map(error_name)
}

fn exchange(socket: &mut Socket, bytes: usize) -> io::Result<(usize, &'static str)> {
    socket.write_all(&vec![b'x'; bytes])?;
    let mut back = vec![0_u8; bytes];
    socket.read_exact(&mut back)?;
    Ok((bytes, "open"))
}

fn read_to_end(socket: &mut Socket) -> io::Result<(usize, &'static str)> {
    let mut buffer = vec![0_u8; 64 * 1024];
    let mut total = 0;
    loop {
        match socket.read(&mut buffer) {
            Ok(0) => return Ok((total, "fin")),
            Ok(count) => total += count,
            Err(error) if error.raw_os_error() == Some(libc::ECONNRESET) => {
                return Ok((total, "reset"));
            }
            Err(error) => return Err(error),
        }
    }
}

//! Servers. A few threads share the listeners through epoll, so that ten thousand idle connections cost no threads and
//! short ones no thread start.

mod behaviour;
mod session;

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use socket2::{Domain, Protocol, Socket, Type};

use crate::Outcome;
use crate::address::expand;
use crate::args::{Arguments, Usage};
use crate::names;
use crate::report::{error_name, line};
use crate::system::{self, Epoll};
use behaviour::Behaviour;
use session::{Session, Step};

pub const HELP: &str = "serve BEHAVIOUR@ADDRESS… [--name NAME] [--threads N] [--duration MS] [--reuse-port] [--v6-only] [--backlog N]: \
echo | whoami | sink | source | close (echo once, then close first) | reset (read once, then RST) | slow (1 KiB per 50 ms) | udp-echo | udp-names (answers every name query); \
prints a ready line, ends with its input or after the duration";

/// How often a thread looks whether it is over.
const TICK: Duration = Duration::from_millis(200);

pub struct Listener {
    socket: Socket,
    behaviour: Behaviour,
    address: SocketAddr,
}

struct Settings {
    name: String,
    reuse_port: bool,
    v6_only: bool,
    backlog: i32,
}

pub fn run(mut arguments: Arguments) -> Outcome {
    let words = arguments.words();
    let threads: usize = arguments.value("threads", 2)?;
    let duration = arguments.milliseconds("duration", 3_600_000)?;
    let settings = Settings {
        name: arguments.text("name").unwrap_or_default(),
        reuse_port: arguments.switch("reuse-port")?,
        v6_only: arguments.switch("v6-only")?,
        backlog: arguments.value("backlog", 4096)?,
    };
    arguments.finish()?;
    system::raise_descriptor_limit();
    let (listeners, datagrams) = match open_all(&words, &settings)? {
        Ok(open) => open,
        Err(error) => {
            line(&json!({ "event": "failed", "error": error_name(&error) }));
            return Ok(false);
        }
    };
    line(
        &json!({ "event": "ready", "name": settings.name, "listening": listed(&listeners, &datagrams) }),
    );
    serve(
        Arc::new(listeners),
        datagrams,
        settings.name,
        threads.clamp(1, 16),
        duration,
    );
    Ok(true)
}

/// What becomes of a datagram.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Datagrams {
    Echo,
    Names,
}

impl Datagrams {
    const ALL: [(&'static str, Self); 2] = [("udp-echo", Self::Echo), ("udp-names", Self::Names)];
}

type Opened = (Vec<Listener>, Vec<(Datagrams, UdpSocket)>);

fn open_all(words: &[String], settings: &Settings) -> Result<io::Result<Opened>, Usage> {
    let mut wanted = Vec::new();
    for word in words {
        let (behaviour, address) = word
            .split_once('@')
            .ok_or_else(|| Usage(format!("`{word}` is not BEHAVIOUR@ADDRESS:PORT")))?;
        wanted.extend(
            expand(address)?
                .into_iter()
                .map(|address| (behaviour, address)),
        );
    }
    if wanted.is_empty() {
        return Err(Usage("nothing to serve is given".into()));
    }
    let mut opened = (Vec::new(), Vec::new());
    for (behaviour, address) in wanted {
        let datagrams = Datagrams::ALL
            .into_iter()
            .find(|(name, _)| *name == behaviour);
        let result = if let Some((_, kind)) = datagrams {
            UdpSocket::bind(address).map(|socket| opened.1.push((kind, socket)))
        } else {
            let behaviour = behaviour
                .parse()
                .map_err(|()| Usage(format!("there is no behaviour `{behaviour}`")))?;
            listen(behaviour, address, settings).map(|listener| opened.0.push(listener))
        };
        if let Err(error) = result {
            return Ok(Err(error));
        }
    }
    Ok(Ok(opened))
}

fn listen(behaviour: Behaviour, address: SocketAddr, settings: &Settings) -> io::Result<Listener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    if settings.reuse_port {
        socket.set_reuse_port(true)?;
    }
    if address.is_ipv6() {
        socket.set_only_v6(settings.v6_only)?;
    }
    socket.bind(&address.into())?;
    socket.listen(settings.backlog)?;
    socket.set_nonblocking(true)?;
    let address = socket.local_addr()?.as_socket().unwrap_or(address);
    // Not every kernel lets a server take data in the SYN; a test that needs it says so by what it sees.
    let _ = system::set_option(&socket, libc::SOL_TCP, libc::TCP_FASTOPEN, 256);
    Ok(Listener {
        socket,
        behaviour,
        address,
    })
}

fn listed(listeners: &[Listener], datagrams: &[(Datagrams, UdpSocket)]) -> Vec<String> {
    let streams = listeners
        .iter()
        .take(64)
        .map(|listener| format!("{}@{}", listener.behaviour.name(), listener.address));
    let udp = datagrams
        .iter()
        .filter_map(|(kind, socket)| Some((kind, socket.local_addr().ok()?)))
        .filter_map(|(kind, address)| {
            let (name, _) = Datagrams::ALL
                .into_iter()
                .find(|(_, known)| known == kind)?;
            Some(format!("{name}@{address}"))
        });
    streams.chain(udp).collect()
}

fn serve(
    listeners: Arc<Vec<Listener>>,
    datagrams: Vec<(Datagrams, UdpSocket)>,
    name: String,
    threads: usize,
    duration: Duration,
) {
    let deadline = Instant::now() + duration;
    for (kind, socket) in datagrams {
        thread::spawn(move || answer_datagrams(&socket, kind));
    }
    for _ in 0..threads {
        let (listeners, name) = (Arc::clone(&listeners), name.clone());
        thread::spawn(move || {
            if let Err(error) =
                Worker::new(&listeners, name).and_then(|mut worker| worker.run(deadline))
            {
                line(&json!({ "event": "failed", "error": error_name(&error) }));
                std::process::exit(1);
            }
        });
    }
    // Serving threads end with the process: there is nothing to be saved.
    crate::idle::wait_for_end_of_input(duration);
}

fn answer_datagrams(socket: &UdpSocket, kind: Datagrams) {
    let mut buffer = [0_u8; 64 * 1024];
    while let Ok((count, from)) = socket.recv_from(&mut buffer) {
        let length = match kind {
            Datagrams::Echo => Some(count),
            Datagrams::Names => names::answer(&mut buffer, count),
        };
        if let Some(length) = length {
            // A datagram that cannot be answered is lost, as datagrams are.
            let _ = socket.send_to(&buffer[..length], from);
        }
    }
}

struct Worker<'a> {
    epoll: Epoll,
    listeners: &'a [Listener],
    sessions: HashMap<u64, Session>,
    buffer: Vec<u8>,
    name: String,
}

impl<'a> Worker<'a> {
    fn new(listeners: &'a [Listener], name: String) -> io::Result<Self> {
        let epoll = Epoll::new()?;
        for (index, listener) in listeners.iter().enumerate() {
            // Exclusive, or every thread wakes for every connection.
            epoll.add(
                listener.socket.as_raw_fd(),
                libc::EPOLLIN | libc::EPOLLEXCLUSIVE,
                index as u64,
            )?;
        }
        Ok(Self {
            epoll,
            listeners,
            sessions: HashMap::new(),
            buffer: vec![0; 256 * 1024],
            name,
        })
    }

    fn run(&mut self, deadline: Instant) -> io::Result<()> {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 256];
        while Instant::now() < deadline {
            let ready = self.epoll.wait(&mut events, TICK)?;
            for event in &events[..ready] {
                let token = event.u64;
                match usize::try_from(token)
                    .ok()
                    .and_then(|index| self.listeners.get(index))
                {
                    Some(listener) => self.accept(listener),
                    None => self.advance(token),
                }
            }
        }
        Ok(())
    }

    /// Tokens of sessions follow those of the listeners; a descriptor is unique among live sessions.
    fn token(&self, socket: &Socket) -> u64 {
        self.listeners.len() as u64 + socket.as_raw_fd() as u64
    }

    fn accept(&mut self, listener: &Listener) {
        for _ in 0..16 {
            // A connection that ended before it was accepted, or another thread's turn: neither is ours to report.
            let Ok((socket, _)) = listener.socket.accept() else {
                return;
            };
            if socket
                .set_nonblocking(true)
                .and_then(|()| socket.set_tcp_nodelay(true))
                .is_err()
            {
                continue;
            }
            let token = self.token(&socket);
            let descriptor = socket.as_raw_fd();
            if listener.behaviour == Behaviour::Slow {
                thread::spawn(move || session::read_slowly(&socket));
                continue;
            }
            self.sessions
                .insert(token, Session::new(socket, listener.behaviour));
            let interest = listener.behaviour.first_interest();
            if self.epoll.add(descriptor, interest, token).is_err() {
                self.sessions.remove(&token);
            }
        }
    }

    fn advance(&mut self, token: u64) {
        let Some(session) = self.sessions.get_mut(&token) else {
            return;
        };
        let step = session
            .advance(&mut self.buffer, &self.name)
            .unwrap_or(Step::Close);
        let descriptor = session.socket.as_raw_fd();
        let kept = match step {
            Step::Wait(interest) if interest == session.interest => true,
            Step::Wait(interest) => {
                session.interest = interest;
                self.epoll.change(descriptor, interest, token).is_ok()
            }
            Step::Close => false,
        };
        if !kept {
            self.sessions.remove(&token);
        }
    }
}

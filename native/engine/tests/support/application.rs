//! Applications: this test binary, started once more in a pod's namespace.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use super::PATIENCE;

const CHILD: &str = "AMBIT_TEST_CHILD";

/// A client that has connected and says nothing yet.
pub struct Held {
    child: Child,
    lines: Box<dyn Iterator<Item = String>>,
}

impl Held {
    pub fn start(netns: &str, destination: SocketAddr) -> Self {
        let mut child = spawn(netns, &format!("hold {destination}"));
        let output = BufReader::new(child.stdout.take().unwrap());
        let lines = output.lines().map_while(Result::ok);
        let said = lines.filter_map(|line| line.split("SAYS ").nth(1).map(str::to_owned));
        let mut held = Held {
            child,
            lines: Box::new(said),
        };
        assert_eq!(held.lines.next().as_deref(), Some("open"));
        held
    }

    /// Lets it speak; what it got.
    pub fn end(mut self) -> String {
        drop(self.child.stdin.take());
        let got = self.lines.next().expect("an answer");
        let _ = self.child.wait();
        got
    }
}

pub fn spawn(netns: &str, what: &str) -> Child {
    Command::new("ip")
        .args(["netns", "exec", netns])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture", "--test-threads=1"])
        .env(CHILD, what)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

pub fn first_line(child: &mut Child) -> String {
    let output = BufReader::new(child.stdout.take().unwrap());
    let said = output
        .lines()
        .map_while(Result::ok)
        .find_map(|line| line.split("SAYS ").nth(1).map(str::to_owned));
    said.expect("the application said something")
}

/// What a process of this test binary does when it is an application; `false` in the test process itself.
pub fn act_as_child() -> bool {
    let Ok(what) = std::env::var(CHILD) else {
        return false;
    };
    let words: Vec<&str> = what.split(' ').collect();
    match words[0] {
        "serve" => serve(words[1].parse().unwrap()),
        "proxy" => proxy(),
        "call" => println!("SAYS {}", call(words[1].parse().unwrap(), 0, || ())),
        "prioritised" => println!("SAYS {}", call(words[1].parse().unwrap(), 5, || ())),
        "hold" => println!("SAYS {}", call(words[1].parse().unwrap(), 0, wait_for_word)),
        other => panic!("no such application: {other}"),
    }
    true
}

/// Answers each question with the client's address.
fn serve(port: u16) {
    let listener = TcpListener::bind(("0.0.0.0", port)).unwrap();
    println!("SAYS ready");
    let end = Instant::now() + Duration::from_secs(60);
    while Instant::now() < end {
        let (mut stream, peer) = listener.accept().unwrap();
        let mut question = String::new();
        let _ = stream.read_to_string(&mut question);
        let _ = write!(stream, "{question} from {}", peer.ip());
    }
}

/// As a waypoint's proxy listens; answers each question with what the header says.
fn proxy() {
    let listener = TcpListener::bind("127.0.0.1:15088").unwrap();
    println!("SAYS ready");
    let end = Instant::now() + Duration::from_secs(60);
    while Instant::now() < end {
        let (mut stream, peer) = listener.accept().unwrap();
        assert!(peer.ip().is_loopback());
        let header = header(&mut stream);
        let mut question = String::new();
        let _ = stream.read_to_string(&mut question);
        let _ = write!(stream, "{question} {header}");
    }
}

/// Reads a PROXY header: `from IP to IP:PORT` and the values as `type=text`.
fn header(stream: &mut TcpStream) -> String {
    let mut fixed = [0; 16];
    stream.read_exact(&mut fixed).unwrap();
    assert_eq!(fixed[..13], *b"\r\n\r\n\0\r\nQUIT\n\x21");
    let mut rest = vec![0; usize::from(u16::from_be_bytes([fixed[14], fixed[15]]))];
    stream.read_exact(&mut rest).unwrap();
    let size = if fixed[13] == 0x11 { 4 } else { 16 };
    let address = |bytes: &[u8]| match <[u8; 4]>::try_from(bytes) {
        Ok(four) => IpAddr::from(four),
        Err(_) => IpAddr::from(<[u8; 16]>::try_from(bytes).unwrap()),
    };
    let (source, destination) = (address(&rest[..size]), address(&rest[size..2 * size]));
    let port = u16::from_be_bytes([rest[2 * size + 2], rest[2 * size + 3]]);
    let target = SocketAddr::new(destination, port);
    format!("from {source} to {target}{}", values(&rest[2 * size + 4..]))
}

fn values(mut rest: &[u8]) -> String {
    let mut text = String::new();
    while let [kind, high, low, behind @ ..] = rest {
        let (value, next) = behind.split_at(usize::from(u16::from_be_bytes([*high, *low])));
        text += &format!(" {kind:x}={}", std::str::from_utf8(value).unwrap());
        rest = next;
    }
    text
}

/// Until the test closes our standard input.
fn wait_for_word() {
    println!("SAYS open");
    let _ = std::io::stdin().read_to_string(&mut String::new());
}

fn call(destination: SocketAddr, priority: u32, connected: impl Fn()) -> String {
    let exchange = || {
        let mut stream = connect(destination, priority)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        // A reset that is here already makes this and the shutdown say ENOTCONN; reading tells it as what it is.
        match stream.peer_addr() {
            Err(error) if error.kind() == std::io::ErrorKind::NotConnected => {}
            peer => assert_eq!(peer?, destination),
        }
        connected();
        stream.write_all(b"hello")?;
        let _ = stream.shutdown(Shutdown::Write);
        let mut reply = String::new();
        stream.read_to_string(&mut reply).map(|_| reply)
    };
    exchange().unwrap_or_else(|error| format!("error {:?}", error.kind()))
}

/// `priority` is SO_PRIORITY, by which a proxy tells its own connections from those of its clients.
fn connect(destination: SocketAddr, priority: u32) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(destination), Type::STREAM, None)?;
    // SAFETY: the option is an int, which lives through the call.
    let set = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PRIORITY,
            (&raw const priority).cast(),
            size_of::<u32>() as libc::socklen_t,
        )
    };
    assert_eq!(set, 0, "anybody may set priorities up to 6");
    socket.connect_timeout(&destination.into(), PATIENCE)?;
    Ok(socket.into())
}

//! The conversation with the node's agent: one line of JSON each way, over its unix socket. `docs/cni.md` is the contract.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    mem,
    net::IpAddr,
    os::{fd::AsRawFd, unix::net::UnixStream},
    path::{Path, PathBuf},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use crate::{environment::Pod, membership::own_user};

const LARGEST_ANSWER: u64 = 64 << 10;

/// Between two attempts to find somebody at the socket.
const PAUSE: Duration = Duration::from_millis(100);

const PROTOCOL_VERSION: u32 = 1;

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Enrolment {
    pub pod: Pod,
    pub container_id: String,
    pub interface: String,
    pub netns: Netns,
    pub addresses: Vec<IpAddr>,
}

/// A network namespace by its path on the node, and what it is, so that the agent can tell whether it opened the same.
#[derive(Clone, Debug, Serialize)]
pub struct Netns {
    pub path: PathBuf,
    pub device: u64,
    pub inode: u64,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExistingAttachment {
    pub container_id: String,
    pub interface: String,
}

#[derive(Clone, Debug, Serialize)]
#[serde(tag = "command", rename_all = "camelCase")]
pub enum Question {
    Add(Enrolment),
    Check(Enrolment),
    #[serde(rename_all = "camelCase")]
    Delete {
        pod: Pod,
        container_id: String,
        interface: String,
    },
    Gc {
        attachments: Vec<ExistingAttachment>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "result", rename_all = "camelCase")]
pub enum Answer {
    Enrolled,
    NotInMesh,
    Done,
    Refused { code: String, message: String },
    Later { message: String },
}

/// No answer, and why as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silence(pub String);

/// How long a question waits, and whether it is asked anew when nobody is there to hear it.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    pub limit: Duration,
    pub insistent: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    version: u32,
    #[serde(flatten)]
    question: &'a Question,
    limit_milliseconds: u64,
}

/// Asks the agent. Returns within the limit whatever the other side does: the asking is left to a thread that the end of
/// the process ends, for connecting to a unix socket whose queue is full knows no time limit.
///
/// # Errors
/// `Silence` when no answer came.
pub fn ask(socket: &Path, question: Question, patience: Patience) -> Result<Answer, Silence> {
    let deadline = Instant::now() + patience.limit;
    let (outcomes, received) = mpsc::channel();
    let socket = socket.to_owned();
    thread::spawn(move || {
        loop {
            let outcome = exchange(&socket, &question, deadline);
            let again = outcome.is_err() && patience.insistent;
            if outcomes.send(outcome).is_err() || !again {
                return;
            }
            thread::sleep(PAUSE);
        }
    });
    let mut silence = Silence(format!(
        "it did not answer within {} s",
        patience.limit.as_secs()
    ));
    loop {
        match received.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => silence = Silence(error.to_string()),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return Err(silence),
        }
    }
}

fn exchange(socket: &Path, question: &Question, deadline: Instant) -> io::Result<Answer> {
    let mut stream = UnixStream::connect(socket)?;
    if peer_user(&stream)? != own_user() {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "somebody else than the agent's user listens there",
        ));
    }
    let remaining = deadline.saturating_duration_since(Instant::now());
    let mut line = serde_json::to_vec(&Request {
        version: PROTOCOL_VERSION,
        question,
        limit_milliseconds: u64::try_from(remaining.as_millis()).unwrap_or(u64::MAX),
    })?;
    line.push(b'\n');
    stream.write_all(&line)?;
    read_answer(stream)
}

fn read_answer(stream: impl Read) -> io::Result<Answer> {
    let mut line = Vec::new();
    BufReader::new(stream.take(LARGEST_ANSWER)).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "it closed without an answer",
        ));
    }
    serde_json::from_slice(&line).map_err(|error| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("its answer cannot be read: {error}"),
        )
    })
}

fn peer_user(stream: &UnixStream) -> io::Result<u32> {
    let mut credentials = libc::ucred {
        pid: 0,
        uid: 0,
        gid: 0,
    };
    let mut length = mem::size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: the descriptor is open while `stream` lives; the pointers are to values of the types and the length that
    // SO_PEERCRED asks for, and outlive the call.
    let status = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut credentials).cast(),
            &raw mut length,
        )
    };
    if status == 0 {
        Ok(credentials.uid)
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn answer(text: &str) -> io::Result<Answer> {
        read_answer(text.as_bytes())
    }

    #[test]
    fn reads_every_answer() {
        assert_eq!(
            answer("{\"result\":\"enrolled\"}\n").unwrap(),
            Answer::Enrolled
        );
        assert_eq!(
            answer("{\"result\":\"notInMesh\",\"later\":1}").unwrap(),
            Answer::NotInMesh
        );
        assert_eq!(
            answer(r#"{"result":"refused","code":"a","message":"b"}"#).unwrap(),
            Answer::Refused {
                code: "a".into(),
                message: "b".into()
            }
        );
    }

    #[test]
    fn what_is_cut_off_or_unknown_is_no_answer() {
        for text in [
            "",
            "\n",
            "{\"result\":\"enro",
            "{\"result\":\"perhaps\"}\n",
            "{}",
        ] {
            assert!(answer(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_endless_answer_ends() {
        assert!(read_answer(io::repeat(b' ')).is_err());
    }
}

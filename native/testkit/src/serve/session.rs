//! One connection of a server.

use std::io::{self, ErrorKind, Read, Write};
use std::thread;
use std::time::Duration;

use serde_json::json;
use socket2::Socket;

use super::behaviour::Behaviour;
use crate::address::canonical;

pub enum Step {
    Wait(i32),
    Close,
}

pub struct Session {
    pub socket: Socket,
    pub interest: i32,
    behaviour: Behaviour,
    /// What could not be written yet; while there is some, nothing is read: a peer that does not read is not fed.
    pending: Vec<u8>,
    received: u64,
    /// The peer sends nothing more; close once `pending` is gone.
    ended: bool,
}

/// Bytes taken from one session before others have their turn.
const TURN: usize = 1024 * 1024;

impl Session {
    pub fn new(socket: Socket, behaviour: Behaviour) -> Self {
        let interest = behaviour.first_interest();
        Self {
            socket,
            interest,
            behaviour,
            pending: Vec::new(),
            received: 0,
            ended: false,
        }
    }

    pub fn advance(&mut self, buffer: &mut [u8], name: &str) -> io::Result<Step> {
        if self.behaviour == Behaviour::Source {
            return self.pour(buffer);
        }
        if !self.flush()? {
            return Ok(Step::Wait(libc::EPOLLOUT));
        }
        let mut taken = 0;
        while !self.ended && taken < TURN {
            let count = match (&self.socket).read(buffer) {
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return Ok(Step::Wait(libc::EPOLLIN));
                }
                Err(error) => return Err(error),
            };
            taken += count;
            self.received += count as u64;
            self.ended = count == 0;
            self.respond(&buffer[..count], name)?;
            if !self.flush()? {
                return Ok(Step::Wait(libc::EPOLLOUT));
            }
        }
        Ok(if self.ended {
            Step::Close
        } else {
            Step::Wait(libc::EPOLLIN)
        })
    }

    fn respond(&mut self, data: &[u8], name: &str) -> io::Result<()> {
        match self.behaviour {
            Behaviour::Echo => self.pending.extend_from_slice(data),
            Behaviour::Close => {
                self.pending.extend_from_slice(data);
                self.ended = true;
            }
            Behaviour::Whoami => {
                for _ in data.iter().filter(|byte| **byte == b'\n') {
                    let answer = self.who(name)?;
                    self.pending.extend_from_slice(answer.as_bytes());
                }
            }
            Behaviour::Sink if self.ended => {
                let count = format!("{}\n", json!({ "received": self.received }));
                self.pending.extend_from_slice(count.as_bytes());
            }
            Behaviour::Reset => {
                self.socket.set_linger(Some(Duration::ZERO))?;
                self.ended = true;
            }
            Behaviour::Sink | Behaviour::Source | Behaviour::Slow => {}
        }
        Ok(())
    }

    fn who(&self, name: &str) -> io::Result<String> {
        let text = |address: socket2::SockAddr| {
            address
                .as_socket()
                .map(|address| canonical(address).to_string())
        };
        let (peer, local) = (
            text(self.socket.peer_addr()?),
            text(self.socket.local_addr()?),
        );
        Ok(format!(
            "{}\n",
            json!({ "server": name, "peer": peer, "local": local })
        ))
    }

    /// True when nothing is left to write.
    fn flush(&mut self) -> io::Result<bool> {
        while !self.pending.is_empty() {
            match (&self.socket).write(&self.pending) {
                Ok(count) => drop(self.pending.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    fn pour(&mut self, buffer: &[u8]) -> io::Result<Step> {
        let mut poured = 0;
        while poured < TURN {
            match (&self.socket).write(buffer) {
                Ok(count) => poured += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(Step::Wait(libc::EPOLLOUT))
    }
}

/// A reader so slow that whatever lies between must hold its sender back.
pub fn read_slowly(socket: &Socket) {
    let mut buffer = [0_u8; 1024];
    loop {
        match (&*socket).read(&mut buffer) {
            Ok(0) => return,
            Ok(_) => thread::sleep(Duration::from_millis(50)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                thread::sleep(Duration::from_millis(50))
            }
            Err(_) => return,
        }
    }
}

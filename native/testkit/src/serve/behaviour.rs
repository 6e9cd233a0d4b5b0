//! What a server does with a connection.

use std::str::FromStr;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    Echo,
    /// Each line is answered by who the server is and whom it sees.
    Whoami,
    /// Reads to the end, then says how much it was.
    Sink,
    /// Writes for as long as the peer reads.
    Source,
    /// Echoes once and closes first.
    Close,
    /// Reads once and resets.
    Reset,
    Slow,
}

const NAMES: [(&str, Behaviour); 7] = [
    ("echo", Behaviour::Echo),
    ("whoami", Behaviour::Whoami),
    ("sink", Behaviour::Sink),
    ("source", Behaviour::Source),
    ("close", Behaviour::Close),
    ("reset", Behaviour::Reset),
    ("slow", Behaviour::Slow),
];

impl FromStr for Behaviour {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        NAMES
            .iter()
            .find(|(name, _)| *name == text)
            .map(|(_, behaviour)| *behaviour)
            .ok_or(())
    }
}

impl Behaviour {
    pub fn name(self) -> &'static str {
        NAMES
            .iter()
            .find(|(_, behaviour)| *behaviour == self)
            .map_or("", |(name, _)| name)
    }

    pub fn first_interest(self) -> i32 {
        if self == Self::Source {
            libc::EPOLLOUT
        } else {
            libc::EPOLLIN
        }
    }
}

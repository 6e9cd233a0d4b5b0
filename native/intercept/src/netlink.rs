//! Questions to rtnetlink, several in one system call, and the socket that hears of changes.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

/// One bit per group: link, IPv4 address, route and rule, IPv6 address, route and rule (rtnetlink.h, RTNLGRP_*).
const CHANGE_GROUPS: u32 = 1 | 1 << 4 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 18;
const BUFFER: usize = 64 * 1024;
/// Notifications read per wake-up, so that a pod that floods its own namespace does not hold the thread.
const DRAIN_AT_MOST: usize = 256;

/// The answer to one request.
#[derive(Debug, Default)]
pub(crate) struct Reply {
    /// An errno; `None`: acknowledged.
    pub error: Option<i32>,
    pub message: Option<RouteNetlinkMessage>,
}

/// A socket in the calling thread's namespace.
pub(crate) struct Conversation {
    socket: Socket,
    sequence: u32,
}

impl Conversation {
    pub fn open() -> io::Result<Self> {
        Ok(Self {
            socket: Socket::new(NETLINK_ROUTE)?,
            sequence: 0,
        })
    }

    /// Sends all requests at once; each must carry NLM_F_ACK. One reply per request, in order.
    pub fn ask(&mut self, requests: Vec<(RouteNetlinkMessage, u16)>) -> io::Result<Vec<Reply>> {
        let first = self.sequence + 1;
        let mut buffer = Vec::new();
        let mut replies: Vec<Reply> = Vec::new();
        for (message, flags) in requests {
            append(&mut buffer, message, flags, first + replies.len() as u32);
            replies.push(Reply::default());
        }
        self.sequence += replies.len() as u32;
        self.socket.send_to(&buffer, &SocketAddr::new(0, 0), 0)?;
        let mut open: BTreeSet<u32> = (first..=self.sequence).collect();
        while !open.is_empty() {
            for message in self.receive()? {
                let sequence = message.header.sequence_number;
                let Some(reply) = sequence
                    .checked_sub(first)
                    .and_then(|index| replies.get_mut(index as usize))
                else {
                    continue;
                };
                match message.payload {
                    NetlinkPayload::Error(error) => {
                        reply.error = error.code.map(|code| -code.get());
                        open.remove(&sequence);
                    }
                    NetlinkPayload::InnerMessage(inner) => reply.message = Some(inner),
                    _ => {}
                }
            }
        }
        Ok(replies)
    }

    /// The namespace's own addresses.
    pub fn addresses(&mut self) -> io::Result<Vec<IpAddr>> {
        self.sequence += 1;
        let mut buffer = Vec::new();
        append(
            &mut buffer,
            RouteNetlinkMessage::GetAddress(AddressMessage::default()),
            NLM_F_DUMP,
            self.sequence,
        );
        self.socket.send_to(&buffer, &SocketAddr::new(0, 0), 0)?;
        let mut addresses = Vec::new();
        loop {
            for message in self.receive()? {
                match message.payload {
                    NetlinkPayload::Done(_) => return Ok(addresses),
                    NetlinkPayload::Error(error) => return Err(error.to_io()),
                    NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewAddress(address)) => {
                        addresses.extend(address_of(&address));
                    }
                    _ => {}
                }
            }
        }
    }

    fn receive(&mut self) -> io::Result<Vec<NetlinkMessage<RouteNetlinkMessage>>> {
        let mut buffer = Vec::with_capacity(BUFFER);
        self.socket.recv(&mut buffer, 0)?;
        let mut messages = Vec::new();
        let mut rest = &buffer[..];
        while rest.len() >= 16 {
            let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest)
                .map_err(io::Error::other)?;
            let length = (message.header.length as usize).next_multiple_of(4);
            rest = rest.get(length..).unwrap_or_default();
            messages.push(message);
        }
        Ok(messages)
    }
}

/// The local address; on point-to-point links `Address` is the peer's.
fn address_of(message: &AddressMessage) -> Option<IpAddr> {
    let mut found = None;
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(address) => return Some(*address),
            AddressAttribute::Address(address) => found = Some(*address),
            _ => {}
        }
    }
    found
}

fn append(buffer: &mut Vec<u8>, message: RouteNetlinkMessage, flags: u16, sequence: u32) {
    let mut header = NetlinkHeader::default();
    header.flags = flags | NLM_F_REQUEST;
    header.sequence_number = sequence;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::from(message));
    message.finalize();
    let start = buffer.len();
    buffer.resize((start + message.buffer_len()).next_multiple_of(4), 0);
    message.serialize(&mut buffer[start..]);
}

/// Becomes readable when links, addresses, rules or routes of the namespace change.
#[derive(Debug)]
pub(crate) struct Changes(Socket);

impl Changes {
    pub fn subscribe() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind(&SocketAddr::new(0, CHANGE_GROUPS))?;
        socket.set_non_blocking(true)?;
        Ok(Self(socket))
    }

    /// Forgets what has been heard: whatever it was, the state is looked at afresh.
    pub fn drain(&self) {
        let mut byte = [0u8; 1];
        for _ in 0..DRAIN_AT_MOST {
            // SAFETY: the kernel writes at most one byte into `byte`; MSG_TRUNC discards the rest of the datagram.
            let result = unsafe {
                libc::recv(
                    self.0.as_raw_fd(),
                    byte.as_mut_ptr().cast(),
                    1,
                    libc::MSG_TRUNC,
                )
            };
            // ENOBUFS: notifications were lost, and the error is gone by reading it.
            if result < 0 && io::Error::last_os_error().raw_os_error() != Some(libc::ENOBUFS) {
                return;
            }
        }
    }
}

impl AsFd for Changes {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the socket lives as long as this borrow.
        unsafe { BorrowedFd::borrow_raw(self.0.as_raw_fd()) }
    }
}

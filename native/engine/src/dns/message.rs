//! What is read of a message and what is written. Messages that are forwarded stay as they came, but for their id.

use std::net::IpAddr;

use domain::base::iana::{Class, Opcode, Rcode, Rtype};
use domain::base::message_builder::{AdditionalBuilder, StaticCompressor};
use domain::base::{Message, MessageBuilder, Name, ParsedName, ToName, Ttl};
use domain::rdata::{A, Aaaa, Ptr};

/// Of a header with its counts (RFC 1035, 4.1.1).
pub const HEADER: usize = 12;
/// What a client takes that says nothing (RFC 1035, 4.2.1).
const SMALLEST_LIMIT: usize = 512;
/// What is taken from a resolver and offered to clients: more comes over TCP.
pub const LARGEST_LIMIT: usize = 4096;
/// What every path carries unfragmented (dnsflagday.net/2020).
const OFFERED: u16 = 1232;
/// An OPT record without options (RFC 6891).
const OPT_LENGTH: usize = 11;
/// As many as fit a message over TCP.
const MOST_ADDRESSES: usize = 2000;

/// A message of a client that is a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Lower case, without a dot at the end; `None`: no name of a host.
    pub name: Option<String>,
    pub kind: Rtype,
    /// Bytes that the client takes in one datagram.
    pub limit: usize,
    /// Whether it is of the kind that names of the mesh are answered for.
    pub plain: bool,
}

/// `None`: no query that any resolver could answer.
pub fn read(bytes: &[u8]) -> Option<Query> {
    let message = Message::from_slice(bytes).ok()?;
    if message.header().qr() {
        return None;
    }
    let question = message.sole_question().ok()?;
    let opt = message.opt();
    let offered = opt
        .as_ref()
        .map_or(0, |opt| usize::from(opt.udp_payload_size()));
    let plain = message.header().opcode() == Opcode::QUERY
        && question.qclass() == Class::IN
        && opt.is_none_or(|opt| opt.version() == 0);
    Some(Query {
        name: host_name(question.qname()),
        kind: question.qtype(),
        limit: offered.clamp(SMALLEST_LIMIT, LARGEST_LIMIT),
        plain,
    })
}

fn host_name(name: &ParsedName<&[u8]>) -> Option<String> {
    let mut text = String::with_capacity(64);
    for label in name.iter().filter(|label| !label.is_root()) {
        if !text.is_empty() {
            text.push('.');
        }
        for byte in label.as_slice() {
            if *byte == b'.' || !byte.is_ascii_graphic() {
                return None;
            }
            text.push(char::from(byte.to_ascii_lowercase()));
        }
    }
    (!text.is_empty()).then_some(text)
}

/// Whether `reply` answers `query`: same id, same question. A server that could not read the question may leave it out.
pub fn is_answer(query: &[u8], reply: &[u8]) -> bool {
    let (Ok(query), Ok(reply)) = (Message::from_slice(query), Message::from_slice(reply)) else {
        return false;
    };
    let header = reply.header();
    let unread = reply.header_counts().qdcount() == 0
        && header.qr()
        && header.id() == query.header().id()
        && matches!(
            header.rcode(),
            Rcode::FORMERR | Rcode::NOTIMP | Rcode::REFUSED
        );
    header.opcode() == query.header().opcode() && (unread || reply.is_answer(query))
}

pub fn id(message: &[u8]) -> [u8; 2] {
    [message[0], message[1]]
}

pub fn set_id(message: &mut [u8], id: [u8; 2]) {
    message[..2].copy_from_slice(&id);
}

type Builder = AdditionalBuilder<StaticCompressor<Vec<u8>>>;

/// The addresses of one family that fit `limit`; what does not is told by the TC bit. None: the name has no such address.
pub fn answer(query: &[u8], addresses: &[IpAddr], ttl: u32, limit: usize) -> Option<Vec<u8>> {
    let message = Message::from_slice(query).ok()?;
    let question = message.sole_question().ok()?;
    let has_opt = message.opt().is_some();
    let target = StaticCompressor::new(Vec::with_capacity(SMALLEST_LIMIT));
    let builder = MessageBuilder::from_target(target).ok()?;
    let mut answer = builder.start_answer(message, Rcode::NOERROR).ok()?;
    answer.set_push_limit(limit.saturating_sub(if has_opt { OPT_LENGTH } else { 0 }));
    let mut complete = true;
    for address in addresses.iter().take(MOST_ADDRESSES) {
        let (name, ttl) = (question.qname().to_name::<Vec<u8>>(), Ttl::from_secs(ttl));
        complete = match address {
            IpAddr::V4(four) => answer.push((name, Class::IN, ttl, A::new(*four))).is_ok(),
            IpAddr::V6(six) => answer.push((name, Class::IN, ttl, Aaaa::new(*six))).is_ok(),
        };
        if !complete {
            break;
        }
    }
    answer.clear_push_limit();
    answer.header_mut().set_aa(true);
    answer.header_mut().set_ra(true);
    answer.header_mut().set_tc(!complete);
    finish(answer.additional(), has_opt)
}

/// One name. `None`: too long to be one.
pub fn pointer(query: &[u8], host: &str, ttl: u32) -> Option<Vec<u8>> {
    let host: Name<Vec<u8>> = host.parse().ok()?;
    let message = Message::from_slice(query).ok()?;
    let question = message.sole_question().ok()?;
    let has_opt = message.opt().is_some();
    let target = StaticCompressor::new(Vec::with_capacity(SMALLEST_LIMIT));
    let builder = MessageBuilder::from_target(target).ok()?;
    let mut answer = builder.start_answer(message, Rcode::NOERROR).ok()?;
    let (name, ttl) = (question.qname().to_name::<Vec<u8>>(), Ttl::from_secs(ttl));
    answer.push((name, Class::IN, ttl, Ptr::new(host))).ok()?;
    answer.header_mut().set_aa(true);
    answer.header_mut().set_ra(true);
    finish(answer.additional(), has_opt)
}

/// Without the question either, which could not be read. `None`: not even a header, or an answer itself.
pub fn unreadable(query: &[u8]) -> Option<Vec<u8>> {
    let mut header = query.get(..HEADER)?.to_vec();
    if header[2] & 0x80 != 0 {
        return None;
    }
    // QR, the opcode and RD as they came; FORMERR; no records (RFC 1035, 4.1.1).
    header[2] = 0x80 | (header[2] & 0x79);
    header[3] = Rcode::FORMERR.to_int();
    header[4..].fill(0);
    Some(header)
}

/// Without records: that it failed.
pub fn failure(query: &[u8], code: Rcode) -> Option<Vec<u8>> {
    bare(query, code, false)
}

/// Without records: that the answer is to be fetched over TCP.
pub fn truncated(query: &[u8]) -> Option<Vec<u8>> {
    bare(query, Rcode::NOERROR, true)
}

fn bare(query: &[u8], code: Rcode, truncated: bool) -> Option<Vec<u8>> {
    let message = Message::from_slice(query).ok()?;
    let has_opt = message.opt().is_some();
    let target = StaticCompressor::new(Vec::with_capacity(SMALLEST_LIMIT));
    let builder = MessageBuilder::from_target(target).ok()?;
    let mut answer = builder.start_answer(message, code).ok()?;
    answer.header_mut().set_ra(true);
    answer.header_mut().set_tc(truncated);
    finish(answer.additional(), has_opt)
}

fn finish(mut additional: Builder, has_opt: bool) -> Option<Vec<u8>> {
    if has_opt {
        let sized = additional.opt(|opt| {
            opt.set_udp_payload_size(OFFERED);
            Ok(())
        });
        sized.ok()?;
    }
    Some(additional.finish().into_target())
}

#[cfg(test)]
mod tests;
